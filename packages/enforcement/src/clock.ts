import { performance } from 'node:perf_hooks';

/** One reading of both clocks, in milliseconds. */
export interface Instant {
  /** Never goes back; stands still while the machine is suspended. Leases run on it. */
  readonly mono: number;
  /** Since the Unix epoch; may be set, may jump. Expiry is read from it. */
  readonly wall: number;
}

export interface Clock {
  monotonic(): number;
  wall(): number;
}

export const systemClock: Clock = {
  monotonic: () => performance.now(),
  wall: () => Date.now(),
};

/** One-shot timers, so that tests and models can drive time. */
export interface Timers {
  after(milliseconds: number, run: () => void): () => void;
}

export const systemTimers: Timers = {
  after(milliseconds, run) {
    const timer = setTimeout(run, milliseconds);
    return () => clearTimeout(timer);
  },
};
