import { WAIT_MAX_MS, type Kill } from '@sever/protocol';
import { isSettled } from '../exit-code';
import { SeverClientError } from './errors';
import type { KillOptions } from './sever-client';
import { untilAnswered, type UntilAnsweredOptions } from './until-answered';

/** Between two waits, so that a server that answers at once is not asked in a tight loop. */
const BETWEEN_WAITS_MS = 200;

export interface SendOrderOptions extends UntilAnsweredOptions {
  /** Sends the order, or repeats it: under one Idempotency-Key, or at a route that does it once. */
  readonly send: (options: Pick<KillOptions, 'waitMs' | 'signal'>) => Promise<Kill>;
  /** Milliseconds to wait for containment once the order is committed; any length. */
  readonly waitMs: number;
  readonly now: () => number;
  /** The order is committed: from here on it stands, whatever happens to this process. */
  readonly onCommitted: (kill: Kill) => void;
}

/**
 * Has a kill or suspension committed, then waits for its containment. First it is asked for without a wait, so that its id
 * is known as soon as it exists; the waits repeat the request, which is open to everyone who may give the order. A
 * connection that breaks is tried again.
 *
 * @throws ProblemResponseError, ConnectionError when surely nothing was done, OrderUncertainError otherwise
 */
export async function sendOrder(options: SendOrderOptions): Promise<Kill> {
  const { send, signal } = options;
  const committed = await untilAnswered(() => send({ waitMs: 0, signal }), options);
  options.onCommitted(committed);
  return waitForContainment(committed, options);
}

async function waitForContainment(committed: Kill, options: SendOrderOptions): Promise<Kill> {
  const { send, signal, now, delay } = options;
  const deadline = now() + options.waitMs;
  let kill = committed;
  try {
    while (!isSettled(kill)) {
      const waitMs = Math.floor(Math.min(deadline - now(), WAIT_MAX_MS));
      if (waitMs <= 0) return kill;
      kill = await send({ waitMs, signal });
      if (!isSettled(kill) && deadline - now() > BETWEEN_WAITS_MS) {
        await delay(BETWEEN_WAITS_MS, signal);
      }
    }
  } catch (error) {
    // The order is committed; a wait that fails takes nothing of that back, so it must not read as a refusal.
    if (!signal.aborted) {
      if (!(error instanceof SeverClientError)) throw error;
      options.onNotice(`cannot follow the kill further (${error.message})`);
    }
  }
  return kill;
}
