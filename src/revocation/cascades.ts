import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import type { Logger } from 'pino';
import { LOG } from '../config/config.module';
import { Failpoints } from '../config/failpoints';
import { UnitOfWork } from '../database/unit-of-work';
import { KillEvents } from './kill-events';
import { EXPAND_BATCH, FINISH, LEFT_BEHIND, START, TRY_CLAIM } from './sql/enumerate-cascade.sql';

const BATCH = 2_500;
const SWEEP_MS = 5_000;

/** Enumerates cascades after their kills, one at a time, and picks up what a crash left behind. */
@Injectable()
export class Cascades implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly queue = new Map<string, { tenant: string; id: string }>();
  private running: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(
    private readonly work: UnitOfWork,
    private readonly events: KillEvents,
    private readonly failpoints: Failpoints,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => void this.sweep(), SWEEP_MS);
    void this.sweep();
  }

  async onModuleDestroy(): Promise<void> {
    this.closed = true;
    clearInterval(this.timer);
    await this.running;
  }

  enumerate(tenant: string, id: string): void {
    this.queue.set(id, { tenant, id });
    this.running ??= this.drain().finally(() => (this.running = undefined));
  }

  private async sweep(): Promise<void> {
    try {
      const left = await this.work.querySystem<{ tenant: string; id: string }>(LEFT_BEHIND);
      for (const { tenant, id } of left) this.enumerate(tenant, id);
    } catch (error) {
      this.log.warn({ err: error }, 'could not look for cascades left behind');
    }
  }

  private async drain(): Promise<void> {
    for (const [key, { tenant, id }] of this.queue) {
      this.queue.delete(key);
      try {
        while (!this.closed && (await this.step(tenant, id)));
      } catch (error) {
        this.log.warn(
          { err: error, kill_id: id },
          'enumerating a cascade failed; it goes on at the next sweep',
        );
      }
    }
  }

  /** One batch in one transaction. False when there is nothing more to do here. */
  private async step(tenant: string, id: string): Promise<boolean> {
    const more = await this.work.forTenant(tenant, async (manager) => {
      const [claim]: { claimed: boolean }[] = await manager.query(TRY_CLAIM, [tenant, id]);
      if (!claim?.claimed) return false;
      await manager.query(START, [tenant, id]);
      const [batch]: { expanded: number }[] = await manager.query(EXPAND_BATCH, [
        tenant,
        id,
        BATCH,
      ]);
      if ((batch?.expanded ?? 0) > 0) return true;
      await manager.query(FINISH, [tenant, id]);
      return false;
    });
    await this.failpoints.hit('cascade.batch');
    this.events.changed(tenant, id);
    return more;
  }
}
