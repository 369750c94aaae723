import { setTimeout as delay } from 'node:timers/promises';
import { ProblemError } from '@sever/protocol';

const ATTEMPTS = 5;
/** Try again: serialization, deadlock, and everything after which it is unknown whether the commit happened. */
const AGAIN = /^(40001|40P01|57P0[123]|08...|ECONN.*|EPIPE)$/;

/**
 * Sends a statement until its outcome is known. An attempt whose answer was lost is sent again under the same ids: the fence
 * makes it wait for the first one, and what is there already is answered as a replay. So the outcome is never guessed.
 *
 * @throws ProblemError `unavailable` when the outcome stays unknown
 */
export async function untilCertain<T>(send: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await send();
    } catch (error) {
      if (!isWorthAnother(error)) throw error;
      if (attempt === ATTEMPTS)
        throw new ProblemError(
          'unavailable',
          'The database cannot be reached, and whether the order was committed is not known. Send it again with the same Idempotency-Key.',
          {},
          { cause: error },
        );
      await delay(50 * 2 ** attempt);
    }
  }
}

function isWorthAnother(error: unknown): boolean {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return (
    AGAIN.test(String(code)) ||
    /Connection terminated|timeout exceeded|Query read timeout/.test(String(message))
  );
}
