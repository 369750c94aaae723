import type { Logger } from 'pino';
import { type CallStore } from './call.store';

const EVERY_MS = 10 * 60_000;
const DAY_MS = 86_400_000;
/** Made ahead, so that nothing waits for a partition at midnight, nor over a weekend without housekeeping. */
const AHEAD_DAYS = 3;
/** An enforcement point's clock may be ahead. */
const FUTURE_DAYS = 1;

/** Days since the Unix epoch, in UTC. */
export function dayOf(ms: number): number {
  return Math.floor(ms / DAY_MS);
}

/** The days of which records are kept: their partitions, and what is outside of them. */
export class CallDays {
  /** Days whose partitions this process knows to exist. */
  private readonly made = new Set<number>();
  private today: number | undefined;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly store: CallStore,
    /** Days. */
    private readonly retention: number,
    private readonly log: Logger,
  ) {}

  onApplicationBootstrap(): void {
    // Nobody waits for it: whoever stores a record makes the day that it needs.
    void this.sweep();
    this.timer = setInterval(() => void this.sweep(), EVERY_MS);
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  /** Is it a day of which records are kept? By the database's clock. */
  async isKept(day: number): Promise<boolean> {
    const today = this.today ?? (await this.look());
    return day > today - this.retention && day <= today + FUTURE_DAYS;
  }

  /** Resolves once records of these days can be stored. */
  async prepare(days: ReadonlySet<number>): Promise<void> {
    for (const day of days)
      if (!this.made.has(day)) {
        await this.store.makeDays(day, day);
        this.made.add(day);
      }
  }

  async sweep(): Promise<void> {
    try {
      const today = await this.look();
      await this.store.makeDays(today, today + AHEAD_DAYS);
      for (let day = today; day <= today + AHEAD_DAYS; day += 1) this.made.add(day);
      const dropped = await this.store.dropDaysBefore(today - this.retention + 1);
      for (const day of this.made) if (day <= today - this.retention) this.made.delete(day);
      if (dropped > 0) this.log.info({ days: dropped }, 'records of calls are over');
    } catch (error) {
      this.log.warn({ err: error }, 'could not look after the partitions of call records');
    }
  }

  private async look(): Promise<number> {
    this.today = await this.store.today();
    return this.today;
  }
}
