import { newId } from '@sever/protocol';

export interface ReplicaClock {
  /** Milliseconds on a clock that never steps; only differences mean anything, and only within this process. */
  monotonic(): number;
  /** Milliseconds since the Unix epoch; for showing, never for deciding. */
  wall(): number;
}

const CLOCK: ReplicaClock = { monotonic: () => performance.now(), wall: () => Date.now() };

/** This process among the replicas of the control plane: its name until it ends, and its clocks. */
export class Replica {
  readonly id = newId('boot');

  constructor(private readonly clock: ReplicaClock = CLOCK) {}

  monotonic(): number {
    return this.clock.monotonic();
  }

  wall(): number {
    return this.clock.wall();
  }
}
