import { BOOT_SILENCE_MS } from '@sever/protocol';
import type { Logger } from 'pino';
import { type UnitOfWork } from '../database/unit-of-work';
import { type BootStore } from '../stream/boot.store';
import { type EnforcementEvents } from '../stream/enforcement-events';
import { type Replica } from '../stream/replica';

const LOOK_MS = 60_000;

/**
 * Takes strict boots off the roster that have been silent for 20 minutes: their leases ran out long ago, so they admit
 * nothing, and no later kill has to wait for them. A best-effort boot is never retired by silence: it may go on admitting.
 */
export class RetireSilentBoots {
  private readonly startedAt: number;
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly ports: {
      readonly work: UnitOfWork;
      readonly boots: BootStore;
      readonly events: EnforcementEvents;
      readonly replica: Replica;
      readonly log: Logger;
    },
  ) {
    this.startedAt = ports.replica.monotonic();
  }

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => void this.look(), LOOK_MS);
  }

  beforeApplicationShutdown(): void {
    clearInterval(this.timer);
  }

  /** Only after having listened for that long itself: silence that nobody was there to hear is none. */
  async look(): Promise<void> {
    if (this.ports.replica.monotonic() - this.startedAt < BOOT_SILENCE_MS) return;
    try {
      const silent = await this.ports.work.querySystem<{ tenant: string }>(
        `SELECT DISTINCT tenant FROM boot
         WHERE mode = 'strict' AND until_epoch IS NULL
           AND last_seen_at < now() - make_interval(secs => $1::double precision / 1000)`,
        [BOOT_SILENCE_MS],
      );
      for (const { tenant } of silent) await this.retire(tenant);
    } catch (error) {
      this.ports.log.warn({ err: error }, 'could not look for silent boots');
    }
  }

  private async retire(tenant: string): Promise<void> {
    for (const { bootId, epId } of await this.ports.boots.retireSilent(tenant, BOOT_SILENCE_MS)) {
      this.ports.log.warn({ tenant, ep: epId, bootId }, 'retired a silent boot');
      this.ports.events.boots.next({ tenant, epId, bootId, change: 'retired' });
    }
  }
}
