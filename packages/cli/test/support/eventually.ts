import { setTimeout as delay } from 'node:timers/promises';

/** Repeats until the check returns without throwing and not `false`; at most 5 s. */
export async function eventually<T>(check: () => T | Promise<T>, withinMs = 5_000): Promise<T> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    try {
      const result = await check();
      if (result !== false) return result;
      if (performance.now() > deadline) throw new Error('never became true');
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await delay(10);
  }
}
