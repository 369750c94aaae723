import { InvalidArgumentError, type Command } from 'commander';
import { parseDuration } from '@sever/protocol';
import type { CliIo } from '../cli-io';
import { runDrill, type DrillResult } from '../drill/run-drill';
import { EXIT, exitCodeOf } from '../exit-code';
import { drillReport } from '../output/drill-report';
import { inSession, type Session } from '../session';
import { usageError } from '../usage-error';

const EXIT_CODES = `
Exit codes:
  0 passed      every enforcement point refused in time, the survivor was admitted throughout, and the kill is contained
  1 failed      one did not refuse, or not in time, or was not heard, or the survivor was hurt; or the drill was refused
  2 usage       the command line is wrong; nothing was sent
  3 pending     everyone asked refused, and others have yet to answer for the kill
  4 quarantine  an enforcement point confirmed the kill and still admits, or the kill is stuck
  5 emergency   taken without the database
`;

interface DrillCommandOptions {
  readonly via?: string[];
  readonly bound: number;
  readonly quarantine?: boolean;
}

export function addDrillCommand(program: Command, io: CliIo): void {
  program
    .command('drill')
    .summary('kill a canary tree and see from outside that it is refused')
    .description(
      'Spawns two canary trees for the human sever-drill, sees both admitted, kills one, and asks each sidecar until it ' +
        'refuses. The other must be admitted throughout. Takes a key that may start roots and kill (admin).',
    )
    .option('--via <url...>', 'sidecars to ask, such as http://127.0.0.1:7410')
    .option(
      '--bound <time>',
      'how long a refusal may take after the order: 500ms, 2s',
      boundOf,
      2_000,
    )
    .option('--quarantine', 'kill enforcement points that confirmed the kill and still admit')
    .addHelpText('after', EXIT_CODES)
    .action((options: DrillCommandOptions, command: Command) =>
      inSession(command, io, (session) => drill(session, options)),
    );
}

async function drill(session: Session, options: DrillCommandOptions): Promise<number> {
  const via = (options.via ?? []).map(checkedUrl);
  const result = await runDrill(
    session.client,
    {
      via,
      boundMs: options.bound,
      quarantine: options.quarantine ?? false,
      name: new Date(session.io.now()).toISOString().replaceAll(':', '').slice(0, 17),
    },
    session.io,
    (text) => session.note(text),
  );
  const code = codeOf(result, session.client.serverNow());
  session.print({ ...result, exit_code: code }, () => drillReport(result, options.bound));
  return code;
}

function codeOf({ passed, kill, enforcement_points: points }: DrillResult, now: number): number {
  if (passed) return EXIT.contained;
  if (points.some(({ verdict }) => verdict === 'lying')) return EXIT.stuck;
  const allRefused = points.every(
    ({ verdict, survivor }) => verdict === 'refused' && survivor === null,
  );
  const ofKill = kill === null ? EXIT.refused : exitCodeOf(kill, now);
  return allRefused && ofKill !== EXIT.contained ? ofKill : EXIT.refused;
}

function checkedUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !['http:', 'https:'].includes(url.protocol))
    throw usageError(`--via must be an http or https URL, not ${JSON.stringify(text)}`);
  return text;
}

function boundOf(text: string): number {
  const ms = parseDuration(text);
  if (ms === null || ms < 1 || ms > 30_000)
    throw new InvalidArgumentError('Give a time from 1ms to 30s, such as 500ms or 2s.');
  return ms;
}
