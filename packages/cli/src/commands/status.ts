import { InvalidArgumentError, type Command } from 'commander';
import { parseDuration, type EnforcementPointInfo, type Kill } from '@sever/protocol';
import { allPages } from '../client/all-pages';
import { ProblemResponseError } from '../client/errors';
import type { CliIo } from '../cli-io';
import { EXIT, exitCodeOf, gravest } from '../exit-code';
import { moment } from '../output/moment';
import { table } from '../output/table';
import { terminalText } from '../output/terminal-text';
import { inSession, type Session } from '../session';
import { EXIT_CODES } from '../orders/next-step';
import { killTable } from './kills';

/** A status is a glance; who needs more kills lists them. */
const MOST_KILLS = 500;

interface Probe {
  readonly ok: boolean;
  readonly detail: string | null;
}

export function addStatusCommand(program: Command, io: CliIo): void {
  program
    .command('status')
    .summary('is it ready, who enforces, which kills are not contained')
    .description(
      'Shows whether the control plane is ready, every enforcement point, and recent kills that are not contained; ' +
        'exits with the gravest code among those kills, or 1 when the control plane is not ready.',
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
  const open = await openKills(session, sinceMs);
  const code = gravest([
    health.ok && ready.ok ? EXIT.contained : EXIT.refused,
    ...open.map((kill) => exitCodeOf(kill, session.client.serverNow())),
  ]);
  session.print(
    { health, ready, enforcement_points: points, not_contained: open, exit_code: code },
    () => report(session, { health, ready, points, open }),
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

function report(
  session: Session,
  found: { health: Probe; ready: Probe; points: EnforcementPointInfo[]; open: Kill[] },
): string {
  const { health, ready, points, open } = found;
  const boots = points.flatMap((point) => point.boots);
  const live = boots.filter((boot) => boot.state === 'live').length;
  const silent = boots.filter((boot) => boot.state === 'silent').length;
  return [
    `Control plane ${session.url}: ${probeText(health, 'alive')}, ${probeText(ready, 'ready')}`,
    points.length === 0
      ? 'No enforcement point is enrolled: a kill stops spawns and mints, and nothing else.'
      : `${points.length} enforcement ${points.length === 1 ? 'point' : 'points'}, ${live} live, ${silent} silent`,
    ...(points.length === 0
      ? []
      : [
          table(
            ['enforcement point', 'mode', 'state', 'applied', 'last seen'],
            points.flatMap(rows),
          ),
        ]),
    ...(open.length === 0
      ? ['Every recent kill is contained.']
      : [
          `${open.length} recent ${open.length === 1 ? 'kill is' : 'kills are'} not contained:`,
          killTable(open),
        ]),
  ].join('\n');
}

function rows(point: EnforcementPointInfo): string[][] {
  const name = terminalText(point.name);
  const present = point.boots.filter((boot) => boot.state !== 'left');
  if (present.length === 0) return [[name, point.mode, 'not running', '', '']];
  return present.map((boot) => [
    name,
    boot.mode,
    boot.state,
    terminalText(boot.applied ?? 'nothing yet'),
    boot.last_seen_at === null ? 'never' : moment(boot.last_seen_at),
  ]);
}

function probeText(result: Probe, good: string): string {
  return result.ok ? good : `not ${good} (${terminalText(result.detail ?? '')})`;
}

function durationOf(text: string): number {
  const ms = parseDuration(text);
  if (ms === null) throw new InvalidArgumentError('Give a time such as 30m, 24h or 7d.');
  return ms;
}
