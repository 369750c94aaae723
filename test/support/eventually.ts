import { setTimeout as delay } from 'node:timers/promises';

export interface EventuallyOptions {
  /** How long the check may keep failing; default 5 s. */
  timeoutMs?: number;
  /** Time between two tries; default 20 ms. */
  everyMs?: number;
}

/** Runs the check until it does not throw, and returns what it returned; then, or too late, throws what it threw last. */
export async function eventually<T>(
  check: () => T | Promise<T>,
  options: EventuallyOptions = {},
): Promise<T> {
  const { timeoutMs = 5_000, everyMs = 20 } = options;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() >= deadline) {
        throw new Error(`still failing after ${timeoutMs} ms: ${messageOf(error)}`, {
          cause: error,
        });
      }
    }
    await delay(everyMs);
  }
}

/** Jest's matchers and Node's modules throw errors of different realms, so this asks for the text alone. */
function messageOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'message' in error
    ? String(error.message)
    : String(error);
}
