import { RetrySchedule } from './retry-schedule';

const ATTEMPTS_BEFORE_SNAPSHOT = 4;

/** What to ask next: `range` for the entries still missing, `snapshot` when ranges do not help, else nothing. */
export type Ask = 'range' | 'snapshot' | null;

/** Closes a gap in the stream by asking for ranges, one at a time, as far as the highest position seen. */
export class CatchUp {
  wantedTo = 0;
  private askedFrom = 0;
  private readonly retry: RetrySchedule;

  constructor(random: () => number) {
    this.retry = new RetrySchedule({ firstMs: 100, maxMs: 2_000, timeoutMs: 2_000, random });
  }

  want(to: number, applied: number, mono: number): Ask {
    this.wantedTo = Math.max(this.wantedTo, to);
    if (applied >= this.wantedTo || this.retry.outstanding) return null;
    if (this.retry.attempts >= ATTEMPTS_BEFORE_SNAPSHOT) {
      this.retry.answered();
      return 'snapshot';
    }
    this.askedFrom = applied;
    this.retry.asked(mono);
    return 'range';
  }

  /** As much as fits comes at a time; a reply that brought nothing new counts as lost. */
  answered(applied: number, compacted: boolean, mono: number): Ask {
    if (compacted) {
      this.retry.answered();
      return 'snapshot';
    }
    if (applied < this.wantedTo && applied === this.askedFrom) {
      this.retry.failed(mono);
      return null;
    }
    this.retry.answered();
    return this.want(0, applied, mono);
  }

  failed(mono: number): void {
    this.retry.failed(mono);
  }

  due(applied: number, mono: number): Ask {
    if (!this.retry.isDue(mono)) return null;
    if (applied >= this.wantedTo) this.retry.answered();
    return this.want(0, applied, mono);
  }

  /** Positions of another epoch mean nothing in this one. */
  forget(): void {
    this.wantedTo = 0;
    this.retry.answered();
  }

  get nextAt(): number {
    return this.retry.nextAt;
  }
}
