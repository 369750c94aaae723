import { setTimeout as delay } from 'node:timers/promises';
import type { InFlightCall } from '@sever/enforcement';
import { abortable } from './abortable';

/**
 * `held` can be true before any listener was told, namely in a process that was stopped and wakes up with its lease run
 * out; so a wait also looks again by itself.
 */
const LOOK_AGAIN_MS = 250;

/** Lets bytes through only while the call is not held: one listener per call, however often its relay waits. */
export class HoldGate {
  private waiting: (() => void)[] = [];

  constructor(private readonly call: Pick<InFlightCall, 'held' | 'onHold'>) {
    call.onHold((held) => {
      if (held) return;
      const released = this.waiting;
      this.waiting = [];
      for (const release of released) release();
    });
  }

  get shut(): boolean {
    return this.call.held;
  }

  /**
   * Waits until the gate is open. The caller looks at `shut` again in the very turn in which it sends.
   *
   * @throws the signal's reason
   */
  async pass(signal: AbortSignal): Promise<void> {
    while (this.call.held) {
      const looked = new AbortController();
      const released = new Promise<void>((resolve) => this.waiting.push(resolve));
      const again = delay(LOOK_AGAIN_MS, undefined, { signal: looked.signal }).catch(
        () => undefined,
      );
      try {
        await abortable(Promise.race([released, again]), signal);
      } finally {
        looked.abort();
      }
    }
    signal.throwIfAborted();
  }
}
