import { ConnectionError, ProblemResponseError, type SeverClientError } from './errors';

/** Pauses between attempts, milliseconds. */
const PAUSES_MS = [200, 400, 800, 1_600];
/** However long a server asks to wait, an operator does not wait longer between two attempts. */
const LONGEST_PAUSE_MS = 5_000;
/** Answers of a server or a proxy that will recover. */
const PASSING = new Set([502, 503, 504]);

/** Whether the order was carried out is not known. */
export class OrderUncertainError extends Error {
  override readonly name = 'OrderUncertainError';
}

export interface UntilAnsweredOptions {
  /** Aborted at Ctrl-C. */
  readonly signal: AbortSignal;
  readonly delay: (ms: number, signal?: AbortSignal) => Promise<unknown>;
  /** Something that the operator should see at once. */
  readonly onNotice: (text: string) => void;
  /** How a repetition is safe, for the notice: `with the same Idempotency-Key`. */
  readonly repeated: string;
}

/**
 * Repeats a request until it is answered, over a connection that breaks and a server that is away for a moment. Only for
 * requests that do the same when they are repeated.
 *
 * @throws ProblemResponseError, ConnectionError when surely nothing was done, {@link OrderUncertainError} otherwise
 */
export async function untilAnswered<T>(
  attempt: () => Promise<T>,
  { signal, delay, onNotice, repeated }: UntilAnsweredOptions,
): Promise<T> {
  let maybeDone = false;
  for (let tried = 0; ; tried += 1) {
    try {
      signal.throwIfAborted();
      return await attempt();
    } catch (error) {
      if (signal.aborted) throw uncertain('interrupted before the control plane answered', error);
      const pause = PAUSES_MS[tried];
      if (error instanceof ProblemResponseError) {
        if (!PASSING.has(error.status) || pause === undefined) throw error;
      } else if (error instanceof ConnectionError) {
        maybeDone ||= error.maybeDone;
        if (pause === undefined) throw maybeDone ? uncertain(error.message, error) : error;
      } else {
        throw uncertain(error instanceof Error ? error.message : String(error), error);
      }
      onNotice(`${error.message}; trying again ${repeated}`);
      const asked = Math.min(retryAfter(error), LONGEST_PAUSE_MS);
      await delay(Math.max(pause, asked), signal).catch((failure: unknown) => {
        if (!signal.aborted) throw failure;
      });
    }
  }
}

function uncertain(message: string, cause: unknown): OrderUncertainError {
  return new OrderUncertainError(message, { cause });
}

function retryAfter(error: SeverClientError): number {
  return error instanceof ProblemResponseError ? (error.retryAfterMs ?? 0) : 0;
}
