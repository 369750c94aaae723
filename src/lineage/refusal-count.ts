import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import type { Logger } from 'pino';
import { Subject } from 'rxjs';
import { LOG } from '../config/config.module';
import { UnitOfWork } from '../database/unit-of-work';

const FLUSH_MS = 1_000;
const MAX_ORDERS = 10_000;

/**
 * Counts what the control plane refuses because of a kill, so that its record can say that somebody keeps trying. Kept in
 * memory and added up in the database once a second: a storm of dead agents costs one statement, and a crash some counts.
 */
@Injectable()
export class RefusalCount implements OnModuleDestroy {
  /** Told after the database has been. */
  readonly added = new Subject<{ readonly tenant: string; readonly killId: string }>();
  private pending = new Map<string, { tenant: string; killId: string; n: number }>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly work: UnitOfWork,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  add(tenant: string, killId: string | undefined): void {
    if (killId === undefined || this.pending.size >= MAX_ORDERS) return;
    const counted = this.pending.get(killId) ?? { tenant, killId, n: 0 };
    counted.n += 1;
    this.pending.set(killId, counted);
    this.timer ??= setTimeout(() => void this.flush(), FLUSH_MS).unref();
  }

  async onModuleDestroy(): Promise<void> {
    clearTimeout(this.timer);
    await this.flush();
  }

  private async flush(): Promise<void> {
    const counts = [...this.pending.values()];
    this.pending = new Map();
    this.timer = undefined;
    if (counts.length === 0) return;
    try {
      await this.work.querySystem(
        `UPDATE revocation r SET refused_since = r.refused_since + c.n
         FROM unnest($1::text[], $2::text[], $3::bigint[]) AS c(tenant, id, n) WHERE r.tenant = c.tenant AND r.id = c.id`,
        [counts.map((c) => c.tenant), counts.map((c) => c.killId), counts.map((c) => c.n)],
      );
      for (const { tenant, killId } of counts) this.added.next({ tenant, killId });
    } catch (error) {
      this.log.warn({ err: error }, 'could not add up refusals; they are not counted');
    }
  }
}
