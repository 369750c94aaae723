import { InvalidArgumentError, type Command } from 'commander';
import { parseDuration, type Kill } from '@sever/protocol';
import { allPages } from '../client/all-pages';
import { ProblemResponseError } from '../client/errors';
import type { CliIo } from '../cli-io';
import { EXIT, exitCodeOf, gravest } from '../exit-code';
import { statusReport, type Probe } from '../output/status-report';
import { inSession, type Session } from '../session';
import { EXIT_CODES } from '../orders/next-step';

/** A status is a glance; who needs more kills lists them. */
const MOST_KILLS = 500;

export function addStatusCommand(program: Command, io: CliIo): void {
  program
    .command('status')
    .summary('is it ready, who enforces, which kills are not contained')
    .description(
      'Shows whether the control plane is ready, every enforcement point with what it could not apply or let through while ' +
        'stale, recent kills that are not contained, and each time the database was found to have gone back; exits with the gravest code among those kills, or 1 when the control plane is not ready.',
    )
    .option('--since <time>', 'how far back kills count: 30m, 24h, 7d', durationOf, 86_400_000)
    .addHelpText('after', EXIT_CODES)
    .action((options: { since: number }, command: Command) =>
      inSession(command, io, (session) => status(session, options.since)),
    );
}

async function status(session: Session, sinceMs: number): Promise<number> {
  const health = await probe(session, 'healthz');
  const ready = await probe(session, 'readyz');
  const points = (await allPages((page) => session.client.enforcementPoints(page))).items;
  const epochs = (await allPages((page) => session.client.epochs(page))).items;
  const open = await openKills(session, sinceMs);
  const codeOf = (kill: Kill) => exitCodeOf(kill, session.client.serverNow());
  const stuck = open.filter((kill) => codeOf(kill) === EXIT.stuck);
  const code = gravest([
    health.ok && ready.ok ? EXIT.contained : EXIT.refused,
    ...open.map(codeOf),
  ]);
  const body = { health, ready, enforcement_points: points, not_contained: open };
  session.print({ ...body, stuck: stuck.map(({ id }) => id), epochs, exit_code: code }, () =>
    statusReport({ url: session.url, health, ready, points, open, stuck, epochs }),
  );
  return code;
}

async function probe(session: Session, name: 'healthz' | 'readyz'): Promise<Probe> {
  try {
    await session.client.probe(name);
    return { ok: true, detail: null };
  } catch (error) {
    if (!(error instanceof ProblemResponseError)) throw error;
    return { ok: false, detail: error.message };
  }
}

/** Kills are listed newest first: reading stops at the first page that reaches back far enough. */
async function openKills(session: Session, sinceMs: number): Promise<Kill[]> {
  const oldest = session.client.serverNow() - sinceMs;
  const isRecent = (kill: Kill) => Date.parse(kill.created_at) >= oldest;
  const kills: Kill[] = [];
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<typeof session.client.listKills>> =
      await session.client.listKills(cursor === null ? {} : { cursor });
    kills.push(...page.items.filter(isRecent));
    cursor = page.items.every(isRecent) ? page.next_cursor : null;
  } while (cursor !== null && kills.length < MOST_KILLS);
  // What was undone holds nothing back, so nobody has to run after an enforcement point for it.
  return kills.filter((kill) => kill.state !== 'contained' && !kill.lifted && !kill.reinstated);
}

function durationOf(text: string): number {
  const ms = parseDuration(text);
  if (ms === null) throw new InvalidArgumentError('Give a time such as 30m, 24h or 7d.');
  return ms;
}
