import { InvalidArgumentError, type Command } from 'commander';
import { isId, type Agent, type AgentQuery } from '@sever/protocol';
import { ProblemResponseError } from '../client/errors';
import type { CliIo } from '../cli-io';
import { agentTable, countsByState } from '../output/agent-lines';
import { terminalText } from '../output/terminal-text';
import { inSession, type Session } from '../session';

/** Several searches put together, so there is no cursor. */
interface Found {
  readonly items: Agent[];
  readonly more: boolean;
}

export function addFindCommand(program: Command, io: CliIo): void {
  program
    .command('find')
    .summary('find agents by id, initiator, label, ref, task or text')
    .description(
      'Finds agents by agent id (agt_…), initiator (alice@example.com, ini_…), task (tsk_…), label or ref (key:value), ' +
        'or free text, and says how to kill them.',
    )
    .argument('<anything...>', 'what you know')
    .option('--limit <n>', 'most agents to show, 1–500', limitOf, 50)
    .action((words: string[], options: { limit: number }, command: Command) =>
      inSession(command, io, (session) => find(session, words.join(' '), options.limit)),
    );
}

async function find(session: Session, text: string, limit: number): Promise<number> {
  const found = await search(session, text, limit);
  session.print(found, () => {
    if (found.items.length === 0)
      return `No agent matches ${terminalText(text)}.${elsewhere(text)}`;
    const alive = found.items.find(
      (agent) => agent.state === 'active' || agent.state === 'suspended',
    );
    return [
      countsByState(found.items) + (found.more ? '; there are more, narrow it down' : ''),
      agentTable(found.items),
      `To cut one and all it spawned: sever kill ${(alive ?? found.items[0])?.id ?? 'agt_…'} --reason '…'`,
    ].join('\n');
  });
  return 0;
}

async function search(session: Session, text: string, limit: number): Promise<Found> {
  if (isId('agent', text)) {
    try {
      return { items: [await session.client.getAgent(text)], more: false };
    } catch (error) {
      if (!(error instanceof ProblemResponseError) || error.status !== 404) throw error;
      return { items: [], more: false };
    }
  }
  const pages = await Promise.all(
    queriesFor(text).map((query) => session.client.listAgents({ ...query, limit })),
  );
  const byId = new Map(pages.flatMap((page) => page.items).map((agent) => [agent.id, agent]));
  return {
    items: [...byId.values()].slice(0, limit),
    more: byId.size > limit || pages.some((page) => page.next_cursor !== null),
  };
}

/** Every reading of what was typed; the most exact first. */
function queriesFor(text: string): Partial<AgentQuery>[] {
  if (isId('initiator', text)) return [{ initiator: text }];
  if (isId('task', text)) return [{ task: text }];
  const queries: Partial<AgentQuery>[] = [];
  if (/^[^\s@]+@[^\s@]+$/.test(text)) queries.push({ initiator: text });
  if (/^[A-Za-z0-9_.-]{1,64}:[\x21-\x7e]{1,128}$/.test(text)) {
    queries.push({ label: text }, { ref: text });
  }
  queries.push({ q: text });
  return queries;
}

function elsewhere(text: string): string {
  if (isId('kill', text)) return ` It is a kill; look at it: sever kills ${text}`;
  if (isId('credential', text)) {
    return ` It is a credential; cut it and what was minted from it: sever kill ${text} --reason '…'`;
  }
  return '';
}

function limitOf(text: string): number {
  const limit = Number(text);
  if (!Number.isInteger(limit) || limit < 1 || limit > 500) {
    throw new InvalidArgumentError('Give a number from 1 to 500.');
  }
  return limit;
}
