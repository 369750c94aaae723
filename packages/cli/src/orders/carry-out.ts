import type { Kill, KillReceipt } from '@sever/protocol';
import { allPages } from '../client/all-pages';
import { SeverClientError } from '../client/errors';
import { sendOrder, type SendOrderOptions } from '../client/send-order';
import { OrderUncertainError } from '../client/until-answered';
import { EXIT, exitCodeOf } from '../exit-code';
import { killReport } from '../output/kill-report';
import { matchedNothing } from '../output/resolved-lines';
import { terminalJson } from '../output/terminal-text';
import type { Session } from '../session';
import { nextStep } from './next-step';

export interface Errand {
  /** `kill`, `suspension`. */
  readonly what: string;
  readonly send: SendOrderOptions['send'];
  readonly waitMs: number;
  /** Absent for an order that does the same whenever it is repeated. */
  readonly idempotencyKey?: string;
}

/**
 * Gives an order, follows it as long as the operator said, and reports it: the summary, the enforcement points, what to do
 * next. Ctrl-C ends the waiting, never the order.
 *
 * @returns the exit code
 */
export async function carryOut(session: Session, errand: Errand): Promise<number> {
  const { what, idempotencyKey } = errand;
  const interrupt = new AbortController();
  let committed: Kill | undefined;
  const ignoreInterrupts = session.io.onInterrupt(() => {
    interrupt.abort();
    if (committed)
      session.note(`the ${what} stands; stopped waiting. Look at it: sever kills ${committed.id}`);
  });
  if (idempotencyKey !== undefined) session.note(`Idempotency-Key ${idempotencyKey}`);
  try {
    const result = await sendOrder({
      send: errand.send,
      waitMs: errand.waitMs,
      repeated: idempotencyKey === undefined ? '' : 'with the same Idempotency-Key',
      signal: interrupt.signal,
      now: session.io.now,
      delay: session.io.delay,
      onCommitted: (known) => {
        committed = known;
        // Taken by the emergency road it is enforced, and in no database yet.
        session.note(`${known.id} ${known.state === 'emergency' ? 'announced' : 'committed'}`);
      },
      onNotice: (text) => session.note(text),
    });
    const receipts = interrupt.signal.aborted ? null : await receiptsOf(session, result.id);
    const document =
      idempotencyKey === undefined ? result : { ...result, idempotency_key: idempotencyKey };
    session.print(document, () => killReport(result, receipts));
    if (result.matched === 0) session.note(matchedNothing(result.nearest));
    const code = exitCodeOf(result, session.client.serverNow());
    if (code !== EXIT.contained && !interrupt.signal.aborted) session.note(nextStep(code, result));
    return code;
  } catch (error) {
    if (!(error instanceof OrderUncertainError)) throw error;
    return uncertain(session, error, errand);
  } finally {
    ignoreInterrupts();
  }
}

/** The table of enforcement points is worth a request, not a failure: not everyone who may kill may read. */
async function receiptsOf(session: Session, killId: string): Promise<KillReceipt[] | null> {
  if (session.json) return null;
  try {
    return (await allPages((page) => session.client.receipts(killId, page))).items;
  } catch (error) {
    if (error instanceof SeverClientError) return null;
    throw error;
  }
}

function uncertain(
  session: Session,
  error: OrderUncertainError,
  { what, idempotencyKey }: Errand,
): number {
  const again =
    idempotencyKey === undefined
      ? 'Repeat the same command: it is done once, however often it is sent.'
      : `Repeat the same command with --idempotency-key ${idempotencyKey}: it is done once, however often it is sent.`;
  const detail = `It is not known whether the ${what} was committed (${error.message}). ${again} See also: sever kills`;
  session.note(detail);
  if (session.json) {
    const document = {
      code: 'uncertain',
      detail,
      ...(idempotencyKey && { idempotency_key: idempotencyKey }),
    };
    session.io.stdout.write(`${terminalJson(document, 2)}\n`);
  }
  return EXIT.stuck;
}
