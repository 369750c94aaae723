import {
  darkAfterMs,
  type Containment as ContainmentReply,
  type ContainmentState,
  type KillReceipt,
} from '@sever/protocol';
import { Batcher } from '../stream/batcher';
import { type Epochs } from '../stream/epochs';
import { type EnforcementEvents } from '../stream/enforcement-events';
import { type Replica } from '../stream/replica';
import { type Sightings } from '../stream/sightings';
import { orderStanding, revokedAndLiving } from './containment-rules';
import { ContainmentWatch } from './containment-watch';
import { notCovered } from './not-covered';
import { type RosterStore, type OrderRef, type Roster } from './roster.store';
import { toKillReceipt, type EpStanding } from './standing';

export interface OrderContainment {
  readonly state: ContainmentState;
  readonly containment: ContainmentReply;
  readonly receipts: KillReceipt[];
  /** Leases that a restored database has forgotten may still run for so long: until then nothing is contained. */
  readonly unsettledMs: number;
}

/** Where orders stand at the enforcement points: from what they signed, and from what their leases allow at most. */
export class Containment {
  private readonly reads = new Map<string, Batcher<OrderRef, Roster>>();
  private readonly watches = new Set<ContainmentWatch>();
  private closing = false;

  constructor(
    private readonly store: RosterStore,
    private readonly sightings: Sightings,
    private readonly events: EnforcementEvents,
    private readonly replica: Replica,
    private readonly epochs: Pick<Epochs, 'unsettledMs'>,
  ) {}

  /** In the order of the orders. */
  async forOrders(tenant: string, orders: readonly OrderRef[]): Promise<OrderContainment[]> {
    const [rosters, unsettled] = await Promise.all([
      Promise.all(orders.map((order) => this.roster(tenant, order))),
      Promise.all(orders.map(({ epoch }) => this.epochs.unsettledMs(tenant, epoch))),
    ]);
    return orders.map((order, at) =>
      this.describe(tenant, order, rosters[at] as Roster, unsettled[at] ?? 0),
    );
  }

  /**
   * Resolves when the order is contained, when nothing more can be waited for, or after that long. Holds no connection.
   */
  async waitForContainment(tenant: string, order: OrderRef, timeoutMs: number): Promise<void> {
    if (timeoutMs <= 0 || this.closing) return;
    const watch = new ContainmentWatch(tenant, order, {
      read: async () => (await this.roster(tenant, order)).boots,
      events: this.events,
      monotonic: () => this.replica.monotonic(),
      boundAt: this.boundAt(tenant, order),
    });
    this.watches.add(watch);
    try {
      await watch.done(timeoutMs);
    } finally {
      this.watches.delete(watch);
    }
  }

  /** A control plane that stops answers those who wait with what it knows now, instead of keeping them. */
  onModuleDestroy(): void {
    this.closing = true;
    for (const watch of this.watches) watch.end();
  }

  /** On this replica's monotonic clock: from then on no lease from before the commit can run anywhere. */
  private boundAt(tenant: string, { epoch, lastSeq, leaseValidMs }: OrderRef): number {
    return this.sightings.seenAt(tenant, { epoch, seq: lastSeq }) + darkAfterMs(leaseValidMs);
  }

  /** Kills that are answered together read their rosters together. */
  private roster(tenant: string, order: OrderRef): Promise<Roster> {
    let reads = this.reads.get(tenant);
    if (reads === undefined) {
      reads = new Batcher((orders) => this.store.rosters(tenant, orders), 100);
      this.reads.set(tenant, reads);
    }
    return reads.add(order);
  }

  private describe(
    tenant: string,
    order: OrderRef,
    roster: Roster,
    unsettledMs: number,
  ): OrderContainment {
    const leftMs = this.boundAt(tenant, order) - this.replica.monotonic();
    const { boots, points, state } = orderStanding(roster.boots, order, leftMs <= 0, unsettledMs);
    const darkBy = new Date(this.replica.wall() + Math.max(0, leftMs)).toISOString();
    const living = revokedAndLiving(roster.revoked, (until) => {
      const seenAt = this.sightings.seenAt(tenant, until);
      return this.replica.monotonic() >= seenAt + darkAfterMs(order.leaseValidMs);
    });
    return {
      state,
      unsettledMs,
      receipts: boots.map(toKillReceipt),
      containment: {
        required: points.length,
        enforced: withStatus(points, 'enforced').length,
        dark: withStatus(points, 'dark').length,
        pending: withStatus(points, 'pending').map(({ id, name, mode }) => ({
          ...{ id, name, mode },
          dark_by: mode === 'strict' ? darkBy : null,
        })),
        nack: withStatus(points, 'nack').map(({ id, name, boots }) => ({
          ...{ id, name },
          error: boots.find((boot) => boot.nack !== null)?.nack ?? 'not applied',
        })),
        unknown: withStatus(points, 'unknown').map(({ id, name }) => ({ id, name })),
        enforced_by: withStatus(points, 'pending').some(({ mode }) => mode === 'strict')
          ? darkBy
          : null,
        latency_ms: percentiles(points),
        not_covered: notCovered(points, living),
      },
    };
  }
}

function withStatus(points: readonly EpStanding[], status: EpStanding['status']): EpStanding[] {
  return points.filter((point) => point.status === status);
}

function percentiles(points: readonly EpStanding[]): ContainmentReply['latency_ms'] {
  const sorted = points
    .flatMap(({ boots }) => boots.flatMap(({ latencyMs }) => latencyMs ?? []))
    .sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.ceil(sorted.length * share) - 1] ?? 0;
  return sorted.length === 0 ? null : { p50: at(0.5), p99: at(0.99), max: at(1) };
}
