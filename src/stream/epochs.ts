import { darkAfterMs } from '@sever/protocol';
import type { Logger } from 'pino';
import { type EpochStore } from './epoch.store';
import { type Replica } from './replica';
import { type Sightings } from './sightings';

/**
 * A restored database has forgotten boots, and leases that they may still hold. No kill of a new epoch is contained
 * before the longest of those leases, and its margin, have run out since this replica first saw that epoch, on its own
 * monotonic clock; by then every strict boot has entered again or refuses everything.
 */
export class Epochs {
  private readonly settled = new Set<string>();

  constructor(
    private readonly store: EpochStore,
    private readonly sightings: Sightings,
    private readonly replica: Replica,
    private readonly log: Logger,
  ) {}

  /** Milliseconds until kills of that epoch can be contained; 0 once they can. */
  async unsettledMs(tenant: string, epoch: number): Promise<number> {
    const name = `${tenant}/${epoch}`;
    if (epoch <= 1 || this.settled.has(name)) return 0;
    const waiting = await this.store.waiting(tenant, epoch);
    if (waiting !== null && !waiting.settled) {
      const seenAt = this.sightings.seenAt(tenant, { epoch, seq: 0 });
      const left = leftUntilSettled(waiting, this.replica.monotonic() - seenAt);
      if (left > 0) return left;
      // Another replica, or this one after a restart, need not wait again.
      this.store
        .settle(tenant, epoch)
        .catch((error: unknown) => this.log.warn({ err: error }, 'could not settle an epoch'));
    }
    this.settled.add(name);
    return 0;
  }
}

/** @param seenMs so long ago this replica first saw that epoch */
export function leftUntilSettled(
  { leaseValidMs, settled }: { readonly leaseValidMs: number; readonly settled: boolean },
  seenMs: number,
): number {
  return settled ? 0 : Math.max(0, darkAfterMs(leaseValidMs) - seenMs);
}
