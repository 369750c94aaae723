import { newId } from '@sever/protocol';

/** This process, for as long as it runs. Monotonic times are only ever compared within one replica. */
export class Replica {
  readonly id = newId('boot');

  /** Milliseconds on this process' monotonic clock. */
  now(): number {
    return performance.now();
  }
}
