import type { Clock, Timers } from './clock';
import type { TrackedCall } from './in-flight';
import { LapseWatch } from './lapse-watch';

/** A call that is held looks at the lease itself with each byte; the watch is for calls that have nothing to say. */
const LOOK_MS = 250;

export interface StrictCallsOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly isLeased: () => boolean;
  readonly onHold: (call: TrackedCall, held: boolean) => void;
  readonly onCut: (call: TrackedCall) => void;
}

/**
 * The calls in flight that are strict by themselves, at an enforcement point that is not: without a lease they are held,
 * and in the end cut, by the rule that a strict enforcement point goes by.
 */
export class StrictCalls {
  private readonly calls = new Set<TrackedCall>();
  private readonly watch = new LapseWatch();
  /** When there was a lease for certain: a lapse counts from there, so that it ends early rather than late. */
  private leasedAt = 0;
  private cancel: (() => void) | undefined;

  constructor(private readonly options: StrictCallsOptions) {}

  /** In the same synchronous step as its admission, which a lease has allowed. */
  add(call: TrackedCall): void {
    this.calls.add(call);
    this.look();
  }

  delete(call: TrackedCall): void {
    if (this.calls.delete(call) && this.calls.size === 0) this.rest();
  }

  holds(call: TrackedCall): boolean {
    return this.calls.has(call) && !this.options.isLeased();
  }

  private look(): void {
    const { clock, isLeased, onHold, onCut } = this.options;
    const at = clock.monotonic();
    const leased = isLeased();
    if (leased) this.leasedAt = at;
    for (const effect of this.watch.look(leased, this.leasedAt, at)) {
      for (const call of [...this.calls]) {
        if (effect.type === 'cut') onCut(call);
        else onHold(call, effect.type === 'hold');
      }
    }
    this.cancel?.();
    this.cancel = this.calls.size === 0 ? undefined : this.after();
  }

  private after(): () => void {
    return this.options.timers.after(LOOK_MS, () => {
      this.cancel = undefined;
      this.look();
    });
  }

  private rest(): void {
    this.cancel?.();
    this.cancel = undefined;
  }
}
