import type { Clock, Timers } from './clock';

export interface RetryOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: () => number;
  readonly firstMs: number;
  readonly maxMs: number;
  /** Monotonic moment after which the last error is thrown. */
  readonly until?: number | undefined;
  readonly isTransient: (error: unknown) => boolean;
  readonly onRetry?: (error: unknown, waitMs: number) => void;
}

/** Tries again after transient errors, waiting longer each time, with jitter. */
export async function retry<T>(attempt: () => Promise<T>, options: RetryOptions): Promise<T> {
  for (let wait = options.firstMs; ; wait = Math.min(options.maxMs, wait * 2)) {
    try {
      return await attempt();
    } catch (error) {
      const waitMs = wait * (0.5 + options.random() / 2);
      const over = options.clock.monotonic() + waitMs > (options.until ?? Infinity);
      if (over || !options.isTransient(error)) throw error;
      options.onRetry?.(error, waitMs);
      await new Promise<void>((resolve) => options.timers.after(waitMs, resolve));
    }
  }
}
