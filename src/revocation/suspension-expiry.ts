import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import type { Logger } from 'pino';
import { LOG } from '../config/config.module';
import { UnitOfWork } from '../database/unit-of-work';
import { ReleaseOrders } from './release-orders';

const LOOK_MS = 500;

/**
 * Lifts suspensions whose time has come: an expiry is a lift that the control plane publishes, for no enforcement point
 * decides by its own clock that something is over. Every replica looks; the database lets one of them lift.
 */
@Injectable()
export class SuspensionExpiry implements OnApplicationBootstrap, OnModuleDestroy {
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  private closed = false;

  constructor(
    private readonly work: UnitOfWork,
    private readonly releases: ReleaseOrders,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => {
      this.looking ??= this.look().finally(() => (this.looking = undefined));
    }, LOOK_MS);
  }

  async onModuleDestroy(): Promise<void> {
    this.closed = true;
    clearInterval(this.timer);
    await this.looking;
  }

  private async look(): Promise<void> {
    try {
      const due = await this.work.querySystem<{ tenant: string; id: string }>(
        `SELECT tenant, id FROM revocation
         WHERE expires_at <= clock_timestamp() AND lifted IS NULL AND action = 'suspend' ORDER BY expires_at LIMIT 100`,
      );
      for (const { tenant, id } of due) {
        if (this.closed) return;
        await this.releases.lift(tenant, {
          id,
          reason: 'its time was over',
          actor: { id: 'expiry', name: 'expiry', kind: 'system' },
          own_only: false,
          expiry: true,
        });
      }
    } catch (error) {
      this.log.warn({ err: error }, 'could not lift suspensions whose time is over; trying again');
    }
  }
}
