import { WAIT_MAX_MS, type Kill, type KillRequest } from '@sever/protocol';
import { isSettled } from '../exit-code';
import { ConnectionError, ProblemResponseError, SeverClientError } from './errors';
import type { SeverClient } from './sever-client';

/** Pauses between attempts to have the kill committed, milliseconds. */
const PAUSES_MS = [200, 400, 800, 1_600];
/** Between two waits, so that a server that answers at once is not asked in a tight loop. */
const BETWEEN_WAITS_MS = 200;
/** Answers of a server or a proxy that will recover. */
const PASSING = new Set([502, 503, 504]);

export interface SendKillOptions {
  readonly client: SeverClient;
  readonly request: KillRequest;
  readonly idempotencyKey: string;
  /** Milliseconds to wait for containment once the kill is committed; any length. */
  readonly waitMs: number;
  /** Aborted at Ctrl-C. */
  readonly signal: AbortSignal;
  readonly now: () => number;
  readonly delay: (ms: number, signal?: AbortSignal) => Promise<unknown>;
  /** The kill is committed: from here on it stands, whatever happens to this process. */
  readonly onCommitted: (kill: Kill) => void;
  /** Something that the operator should see at once. */
  readonly onNotice: (text: string) => void;
}

/** Whether the kill was committed is not known. */
export class KillUncertainError extends Error {
  override readonly name = 'KillUncertainError';
}

/**
 * Has a kill committed, then waits for its containment. First it is asked for without a wait, so that its id is known as
 * soon as it exists; the waits repeat the request under the same Idempotency-Key, which is open to everyone who may kill.
 * A connection that breaks is tried again under that key too.
 *
 * @throws ProblemResponseError, ConnectionError when surely nothing was done, {@link KillUncertainError} otherwise
 */
export async function sendKill(options: SendKillOptions): Promise<Kill> {
  const committed = await commit(options);
  options.onCommitted(committed);
  return waitForContainment(committed, options);
}

async function commit(options: SendKillOptions): Promise<Kill> {
  const { client, request, idempotencyKey, signal } = options;
  let maybeDone = false;
  for (let attempt = 0; ; attempt += 1) {
    try {
      signal.throwIfAborted();
      return await client.kill(request, { waitMs: 0, idempotencyKey, signal });
    } catch (error) {
      if (signal.aborted) throw uncertain('interrupted before the control plane answered', error);
      const pause = PAUSES_MS[attempt];
      if (error instanceof ProblemResponseError) {
        if (!PASSING.has(error.status) || pause === undefined) throw error;
      } else if (error instanceof ConnectionError) {
        maybeDone ||= error.maybeDone;
        if (pause === undefined) throw maybeDone ? uncertain(error.message, error) : error;
      } else {
        throw uncertain(error instanceof Error ? error.message : String(error), error);
      }
      options.onNotice(`${error.message}; trying again with the same Idempotency-Key`);
      await options
        .delay(Math.max(pause, Math.min(retryAfter(error), 5_000)), signal)
        .catch((failure: unknown) => {
          if (!signal.aborted) throw failure;
        });
    }
  }
}

async function waitForContainment(committed: Kill, options: SendKillOptions): Promise<Kill> {
  const { client, request, idempotencyKey, signal, now, delay } = options;
  const deadline = now() + options.waitMs;
  let kill = committed;
  try {
    while (!isSettled(kill)) {
      const waitMs = Math.min(deadline - now(), WAIT_MAX_MS);
      if (waitMs <= 0) return kill;
      kill = await client.kill(request, { waitMs, idempotencyKey, signal });
      if (!isSettled(kill) && deadline - now() > BETWEEN_WAITS_MS) {
        await delay(BETWEEN_WAITS_MS, signal);
      }
    }
  } catch (error) {
    // The kill is committed; a wait that fails takes nothing of that back, so it must not read as a refusal.
    if (!signal.aborted) {
      if (!(error instanceof SeverClientError)) throw error;
      options.onNotice(`cannot follow the kill further (${error.message})`);
    }
  }
  return kill;
}

function uncertain(message: string, cause: unknown): KillUncertainError {
  return new KillUncertainError(message, { cause });
}

function retryAfter(error: unknown): number {
  return error instanceof ProblemResponseError ? (error.retryAfterMs ?? 0) : 0;
}
