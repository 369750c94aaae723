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
        const last = error instanceof Error ? error : new Error(String(error));
        last.message = `still failing after ${timeoutMs} ms: ${last.message}`;
        throw last;
      }
    }
    await delay(everyMs);
  }
}
