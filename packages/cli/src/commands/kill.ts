import { InvalidArgumentError, type Command } from 'commander';
import { parseDuration, WAIT_DEFAULT_MS, type Kill, type KillReceipt, type KillRequest } from '@sever/protocol';
import { allPages } from '../client/all-pages';
import { ProblemResponseError, SeverClientError } from '../client/errors';
import { KillUncertainError, sendKill } from '../client/send-kill';
import type { CliIo } from '../cli-io';
import { EXIT, exitCodeOf } from '../exit-code';
import { killReport } from '../output/kill-report';
import { terminalJson } from '../output/terminal-text';
import { parseTarget } from '../parse-target';
import { inSession, type Session } from '../session';
import { usageError } from '../usage-error';

interface KillCommandOptions {
  readonly reason: string;
  readonly ticket?: string;
  readonly wait: number;
  readonly idempotencyKey?: string;
  readonly dryRun?: boolean;
}

export function addKillCommand(program: Command, io: CliIo): void {
  program
    .command('kill')
    .summary('cut agents with all they spawned, or credentials; final')
    .description(
      'Kills for good: an agent with everything it spawned (agt_…), a credential with what was minted from it (crd_…), ' +
        'or another subject (alice@example.com, kind:id) if the server knows its kind.',
    )
    .argument('<target...>', 'agt_…, crd_…, alice@example.com or kind:id')
    .requiredOption('--reason <text>', 'why; kept in the record')
    .option('--ticket <ref>', 'ticket or incident')
    .option(
      '--wait <time>',
      'how long to wait for containment: 0, 500ms, 30s, 2m',
      durationOf,
      WAIT_DEFAULT_MS,
    )
    .option('--idempotency-key <key>', 'repeat an earlier kill safely under its key')
    .option('--dry-run', 'only show what would be cut')
    .addHelpText('after', EXIT_CODES)
    .action((targets: string[], options: KillCommandOptions, command: Command) =>
      inSession(command, io, (session) => kill(session, requestOf(targets, options), options)),
    );
}

export const EXIT_CODES = `
Exit codes:
  0 contained   every enforcement point refuses it, or is provably dark
  1 refused     the control plane said no, or was never reached
  2 usage       the command line is wrong; nothing was sent
  3 pending     committed; enforcement points have yet to answer
  4 stuck       an enforcement point failed or is silent past its bound, or it is not known whether the kill was committed
  5 emergency   taken without the database; enforced, not yet recorded
`;

async function kill(
  session: Session,
  request: KillRequest,
  options: KillCommandOptions,
): Promise<number> {
  if (options.dryRun) return preview(session, request);
  const idempotencyKey = options.idempotencyKey ?? session.io.newIdempotencyKey();
  const interrupt = new AbortController();
  let committed: Kill | undefined;
  const ignoreInterrupts = session.io.onInterrupt(() => {
    interrupt.abort();
    if (committed) {
      session.note(`the kill stands; stopped waiting. Look at it: sever kills ${committed.id}`);
    }
  });
  session.note(`Idempotency-Key ${idempotencyKey}`);
  try {
    const result = await sendKill({
      client: session.client,
      request,
      idempotencyKey,
      waitMs: options.wait,
      signal: interrupt.signal,
      now: session.io.now,
      delay: session.io.delay,
      onCommitted: (known) => {
        committed = known;
        session.note(`${known.id} committed`);
      },
      onNotice: (text) => session.note(text),
    });
    const receipts = interrupt.signal.aborted ? null : await receiptsOf(session, result.id);
    session.print({ ...result, idempotency_key: idempotencyKey }, () =>
      killReport(result, receipts),
    );
    const code = exitCodeOf(result, session.client.serverNow());
    if (code !== EXIT.contained && !interrupt.signal.aborted) session.note(nextStep(code, result));
    return code;
  } catch (error) {
    if (!(error instanceof KillUncertainError)) throw error;
    return uncertain(session, error, idempotencyKey);
  } finally {
    ignoreInterrupts();
  }
}

/** The table of enforcement points is worth a request, not a failure: not everyone who may kill may read. */
export async function receiptsOf(session: Session, killId: string): Promise<KillReceipt[] | null> {
  if (session.json) return null;
  try {
    return (await allPages((page) => session.client.receipts(killId, page))).items;
  } catch (error) {
    if (error instanceof SeverClientError) return null;
    throw error;
  }
}

/** What to do about a kill that is not contained. */
export function nextStep(code: number, result: Kill): string {
  const { required, nack, unknown, pending } = result.containment;
  const look = `sever kills ${result.id}`;
  if (code === EXIT.emergency) {
    return `taken by the emergency road; it is recorded once the database is back. Look: ${look}`;
  }
  if (required === 0)
    return `no enforcement point stands behind this kill. Enrol one, then: ${look}`;
  if (code === EXIT.stuck) {
    const names = [...new Set([...nack, ...unknown, ...pending].map((point) => point.name))];
    return `not contained: stop or restart ${names.join(', ')} (or cut its network), then: ${look}`;
  }
  return `the kill stands; not every enforcement point has answered yet. Look again: ${look}`;
}

function uncertain(session: Session, error: KillUncertainError, idempotencyKey: string): number {
  const detail =
    `It is not known whether the kill was committed (${error.message}). Repeat the same command with ` +
    `--idempotency-key ${idempotencyKey}: it kills once, however often it is sent. See also: sever kills`;
  session.note(detail);
  if (session.json) {
    const document = { code: 'uncertain', detail, idempotency_key: idempotencyKey };
    session.io.stdout.write(`${terminalJson(document, 2)}\n`);
  }
  return EXIT.stuck;
}

async function preview(session: Session, request: KillRequest): Promise<number> {
  try {
    const seen = await session.client.previewKill(request);
    session.print(seen, () => `Nothing was killed. This would be cut:\n${terminalJson(seen, 2)}`);
    return EXIT.contained;
  } catch (error) {
    // A server with a preview also answers 404 for an unknown subject; its own words are shown for that reason.
    if (!(error instanceof ProblemResponseError) || ![404, 405].includes(error.status)) throw error;
    const detail = `--dry-run is not available in this version of the server (${error.message}). Nothing was killed.`;
    session.note(detail);
    if (session.json) session.print({ code: 'preview_not_available', detail }, () => '');
    return EXIT.refused;
  }
}

function requestOf(targets: readonly string[], options: KillCommandOptions): KillRequest {
  const subjects = targets.map((target) => {
    const subject = parseTarget(target);
    if (typeof subject === 'string') throw usageError(subject);
    return subject;
  });
  if (options.reason.trim() === '') throw usageError('--reason must say why');
  const [first] = subjects;
  return {
    ...(subjects.length === 1 && first ? { subject: first } : { subjects }),
    reason: options.reason,
    ...(options.ticket === undefined ? {} : { ticket: options.ticket }),
  };
}

function durationOf(text: string): number {
  const ms = parseDuration(text);
  if (ms === null) throw new InvalidArgumentError('Give a time such as 0, 500ms, 30s or 2m.');
  return ms;
}
