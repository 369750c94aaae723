/** When to ask again after a request was lost: doubling, with jitter, so that a fleet does not ask in step. */
export class RetrySchedule {
  private attempt = 0;
  private askedAt: number | null = null;
  private dueAt: number | null = null;

  constructor(
    private readonly options: {
      readonly firstMs: number;
      readonly maxMs: number;
      /** An answer that has not come by then is taken as lost. */
      readonly timeoutMs: number;
      readonly random: () => number;
    },
  ) {}

  get outstanding(): boolean {
    return this.askedAt !== null;
  }

  get attempts(): number {
    return this.attempt;
  }

  asked(mono: number): void {
    this.askedAt = mono;
    this.dueAt = null;
  }

  answered(): void {
    this.askedAt = null;
    this.dueAt = null;
    this.attempt = 0;
  }

  failed(mono: number): void {
    const wait = Math.min(this.options.maxMs, this.options.firstMs * 2 ** this.attempt);
    this.attempt = Math.min(this.attempt + 1, 16);
    this.askedAt = null;
    this.dueAt = mono + wait * (0.5 + this.options.random() / 2);
  }

  /** Turns a request that was never answered into a failed one. @returns whether it is time to ask again */
  isDue(mono: number): boolean {
    if (this.askedAt !== null && mono >= this.askedAt + this.options.timeoutMs) this.failed(mono);
    return this.dueAt !== null && mono >= this.dueAt;
  }

  get nextAt(): number {
    if (this.askedAt !== null) return this.askedAt + this.options.timeoutMs;
    return this.dueAt ?? Infinity;
  }
}
