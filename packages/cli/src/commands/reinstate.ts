import { Option, type Command } from 'commander';
import { isId, type Kill, type ReinstateReply, type SubjectRef } from '@sever/protocol';
import { allPages } from '../client/all-pages';
import { ProblemResponseError } from '../client/errors';
import { untilAnswered } from '../client/until-answered';
import type { CliIo } from '../cli-io';
import { EXIT } from '../exit-code';
import { attempts } from '../orders/attempts';
import { subjectText } from '../output/kill-report';
import { shellWords } from '../output/shell-words';
import { terminalText } from '../output/terminal-text';
import { parseTarget } from '../parse-target';
import { inSession, type Session } from '../session';
import { usageError } from '../usage-error';
import { killTable } from './kills';
import { checkedKill } from './lift';

interface ReinstateOptions {
  readonly kill?: string[];
  readonly reason: string;
}

export function addReinstateCommand(program: Command, io: CliIo): void {
  program
    .command('reinstate')
    .summary('bring back what was killed, for what is issued from now on')
    .description(
      'Gives a killed subject a new generation. It takes a lead who ordered none of its kills, and names every kill that ' +
        'stands. Credentials issued before, and agents spawned before, stay dead.',
    )
    .argument('<target>', 'agt_…, crd_…, alice@example.com or kind:id')
    .addOption(
      new Option('--kill <ids>', 'kil_…, each one that stands, with commas').argParser(
        (text: string, before: string[] | undefined) => [...(before ?? []), ...text.split(',')],
      ),
    )
    .requiredOption('--reason <text>', 'why; kept in the record')
    .addHelpText('after', '\nExit codes: 0 reinstated · 1 refused, or not reached · 2 usage\n')
    .action((target: string, options: ReinstateOptions, command: Command) =>
      inSession(command, io, (session) => reinstate(session, target, options)),
    );
}

async function reinstate(
  session: Session,
  target: string,
  { kill, reason }: ReinstateOptions,
): Promise<number> {
  if (reason.trim() === '') throw usageError('--reason must say why');
  const kills = kill?.map((id) => checkedKill(id.trim()));
  const subject = await subjectOf(session, target);
  if (kills === undefined) return showStanding(session, subject, reason);
  const look = shellWords(['sever', 'kills', '--subject', `${subject.kind}:${subject.id}`]);
  const request = { kill_ids: kills, reason };
  const done = await attempts(session, look, async (how): Promise<ReinstateReply | Kill[]> => {
    let sent = 0;
    try {
      return await untilAnswered(() => {
        sent += 1;
        return session.client.reinstate(subject, request, how);
      }, how);
    } catch (error) {
      // Repeated after an answer that was lost, it finds nothing left to do.
      const perhapsDone =
        sent > 1 && error instanceof ProblemResponseError && error.code === 'not_killed';
      const records = perhapsDone
        ? await Promise.all(kills.map((id) => session.client.getKill(id)))
        : [];
      if (!perhapsDone || !records.every((one) => one.reinstated?.reason === reason)) throw error;
      return records;
    }
  });
  session.print(Array.isArray(done) ? { subject, released: kills, reason } : done, () =>
    [
      `Reinstated ${subjectText(subject)}: what is issued to it from now on works.`,
      '',
      `released ${kills.join(', ')}`,
      ...(Array.isArray(done) || done.generation === null ? [] : [`generation ${done.generation}`]),
      '',
      `next: ${afterwards(subject)}`,
    ].join('\n'),
  );
  return EXIT.contained;
}

function afterwards({ kind, id }: SubjectRef): string {
  return kind === 'agent'
    ? `its old tokens and children stay dead; its service mints a new one: POST /v1/agents/${id}/credentials`
    : 'credentials issued before and agents spawned before stay dead; start new ones';
}

/** Whoever reinstates must have seen what they release, so nothing is guessed. */
async function showStanding(
  session: Session,
  subject: SubjectRef,
  reason: string,
): Promise<number> {
  const name = `${subject.kind}:${subject.id}`;
  const all = await allPages((page) => session.client.listKills({ ...page, subject: name }));
  const standing = all.items.filter(({ action, reinstated }) => action === 'kill' && !reinstated);
  const detail =
    standing.length === 0
      ? `no kill that names ${name} stands. If it is dead, something above it was killed: sever find ${subject.id}`
      : `--kill must name every kill that stands`;
  const command = shellWords([
    ...['sever', ...session.placeWords, 'reinstate', name],
    ...['--kill', standing.map(({ id }) => id).join(','), '--reason', reason],
  ]);
  session.print({ code: 'usage', detail, standing, ...(standing.length > 0 && { command }) }, () =>
    [
      `Nothing was reinstated: ${terminalText(detail)}.`,
      ...(standing.length === 0
        ? []
        : [killTable(standing), 'To release all of them:', `  ${command}`]),
    ].join('\n'),
  );
  return EXIT.usage;
}

/** A human is reinstated by id: a name may stand for several. */
async function subjectOf(session: Session, target: string): Promise<SubjectRef> {
  const subject = parseTarget(target);
  if (typeof subject === 'string') throw usageError(subject);
  if (subject.kind !== 'initiator' || isId('initiator', subject.id)) return subject;
  const agents = await allPages(
    (page) => session.client.listAgents({ ...page, initiator: subject.id }),
    2_000,
  );
  const found = new Map(agents.items.map(({ initiator }) => [initiator.id, initiator]));
  const [only, ...more] = [...found.values()];
  if (only === undefined)
    throw usageError(`nobody has started agents for ${subject.id}; name the human by ini_…`);
  if (more.length > 0)
    throw usageError(
      `several are called ${subject.id}; name one by id: ` +
        [only, ...more].map(({ id, issuer }) => `${id} (${issuer ?? 'no issuer'})`).join(', '),
    );
  return { kind: 'initiator', id: only.id };
}
