import type { Command } from 'commander';
import { CallQuery, type Call } from '@sever/protocol';
import { allPages } from '../client/all-pages';
import type { CliIo } from '../cli-io';
import { duration, moment } from '../output/moment';
import { table } from '../output/table';
import { shortText, terminalText } from '../output/terminal-text';
import { inSession, type Session } from '../session';
import { usageError } from '../usage-error';

interface CallsOptions {
  readonly initiator?: string;
  readonly agent?: string;
  readonly under?: string;
  readonly task?: string;
  readonly tool?: string;
  readonly upstream?: string;
  readonly trace?: string;
  readonly decision?: string;
  readonly kill?: string;
  readonly since?: string;
  readonly until?: string;
  readonly limit: string;
}

export function addCallsCommand(program: Command, io: CliIo): void {
  program
    .command('calls')
    .summary('list calls: who made them, in whose name, and what came of them')
    .option('--initiator <human>', 'everything done in a name: alice@example.com or ini_…')
    .option('--agent <agent>', 'made by this agent itself, agt_…')
    .option('--under <agent>', 'made by this agent or anything below it, agt_…')
    .option('--task <task>', 'tsk_…')
    .option('--tool <tool>', '<upstream>/<name>')
    .option('--upstream <name>', 'whatever the tool')
    .option('--trace <id>', 'W3C trace id, 32 hexadecimal digits')
    .option('--decision <decision>', 'allow, deny or would_deny')
    .option('--kill <kill>', 'what this order has refused or cut, kil_…')
    .option('--since <time>', 'not before, such as 2026-05-01T12:00:00Z')
    .option('--until <time>', 'before')
    .option('--limit <n>', 'at most so many', '50')
    .action((options: CallsOptions, command: Command) =>
      inSession(command, io, (session) => list(session, options)),
    );
}

async function list(session: Session, options: CallsOptions): Promise<number> {
  const { limit, trace, kill, ...rest } = options;
  if (!/^[1-9]\d{0,5}$/.test(limit)) throw usageError('--limit is a number from 1 on');
  const parsed = CallQuery.safeParse({ ...rest, trace_id: trace, kill_id: kill });
  if (!parsed.success) throw usageError(faultOf(parsed.error.issues[0]?.path[0]));
  const { limit: _, ...query } = parsed.data;
  const calls = await allPages(
    (page) => session.client.calls({ ...query, ...page }),
    Number(limit),
  );
  const items = calls.items.slice(0, Number(limit));
  const more = calls.next_cursor !== null || calls.items.length > items.length;
  session.print({ items, more }, () =>
    items.length === 0
      ? 'No calls.'
      : [callTable(items), ...(more ? ['There are older ones: --limit, or --until.'] : [])].join(
          '\n',
        ),
  );
  return 0;
}

function faultOf(member: unknown): string {
  const option = member === 'trace_id' ? 'trace' : member === 'kill_id' ? 'kill' : String(member);
  return `--${option} is not of the form that \`sever calls --help\` says`;
}

/** One call a row: up the chain to the human on the right. */
function callTable(calls: readonly Call[]): string {
  return table(
    ['at', 'what', 'outcome', 'took', 'agent', 'root', 'for'],
    calls.map((call) => [
      moment(call.started_at),
      shortText(call.tool ?? `${call.method ?? ''} ${call.upstream ?? ''}${call.path ?? ''}`, 48),
      call.code === null
        ? call.outcome
        : `${call.outcome} (${call.decision === 'would_deny' ? 'would be ' : ''}${terminalText(call.code)})`,
      duration(call.duration_ms),
      terminalText(call.agent?.id ?? unknownCaller(call)),
      call.agent === null
        ? ''
        : call.chain.length < 2
          ? '(itself)'
          : terminalText(call.chain[0]?.id ?? ''),
      shortText(call.initiator?.subject ?? call.initiator?.id ?? '', 40),
    ]),
  );
}

/** Nobody that is known: what there is to look for it by. */
function unknownCaller({ remote_address: address, user_agent: program }: Call): string {
  return `(unknown: ${[address, program].filter((part) => part !== null).join(' ')})`;
}
