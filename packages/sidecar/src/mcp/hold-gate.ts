import type { InFlightCall } from '@sever/enforcement';
import { abortable } from './abortable';

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
      await abortable(new Promise<void>((resolve) => this.waiting.push(resolve)), signal);
    }
    signal.throwIfAborted();
  }
}
