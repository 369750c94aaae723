const REMEMBERED = 10_000;

export interface FailureGateOptions {
  /** As many may fail in one window. */
  readonly failures: number;
  readonly windowMs: number;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
}

/** Makes whoever fails too often wait until the window is over. Who succeeds is never counted. */
export class FailureGate {
  private readonly seen = new Map<string, { since: number; failures: number }>();

  constructor(private readonly options: FailureGateOptions) {}

  /** Milliseconds until this sender may try again; 0: now. */
  waitMs(sender: string): number {
    const { failures, windowMs, now } = this.options;
    const seen = this.seen.get(sender);
    if (seen === undefined || seen.failures < failures) return 0;
    return Math.max(0, seen.since + windowMs - now());
  }

  failed(sender: string): void {
    const { windowMs, now } = this.options;
    const seen = this.seen.get(sender);
    if (seen !== undefined && now() - seen.since < windowMs) seen.failures += 1;
    else {
      this.seen.delete(sender);
      this.seen.set(sender, { since: now(), failures: 1 });
      if (this.seen.size > REMEMBERED) this.seen.delete(this.seen.keys().next().value ?? '');
    }
  }
}
