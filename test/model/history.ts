import {
  comparePositions,
  formatPosition,
  parsePosition,
  type Lineage,
  type Position,
} from '@sever/protocol';

/** One committed order, as an observer who sees everything knows it. */
export interface Order {
  readonly killId: string;
  readonly kind: 'kill' | 'suspend' | 'unknown_op';
  readonly subject: string;
  /** Generations below it are dead; a suspension stops them all. */
  readonly floor: number;
  /** Calls that ran already may come to their own end. */
  readonly drain: boolean;
  readonly position: Position;
  /** True time. */
  readonly committedAt: number;
  /** The longest lease that could be running anywhere at the commit. */
  readonly longestLeaseMs: number;
  /** What the control plane stored with the order as the longest lease. */
  readonly storedLeaseMs: number;
  /** The database went back to before it. */
  lost: boolean;
  lifted: boolean;
  containedAt: number | null;
}

export interface EmergencyOrder {
  readonly killId: string;
  readonly subject: string;
  /** Committed, or lifted because it was refused. */
  closed: boolean;
  refused: boolean;
}

/** What really happened, whatever any part of the system believes. */
export class History {
  readonly orders: Order[] = [];
  readonly emergencies: EmergencyOrder[] = [];
  private readonly digests = new Map<string, string>();

  commit(order: Omit<Order, 'lost' | 'lifted' | 'containedAt'>, digest: string): Order {
    const committed: Order = { ...order, lost: false, lifted: false, containedAt: null };
    this.orders.push(committed);
    this.place(order.position, digest);
    return committed;
  }

  place(position: Position, digest: string): void {
    this.digests.set(formatPosition(position), digest);
  }

  digestAt(position: Position): string | undefined {
    return this.digests.get(formatPosition(position));
  }

  /** Marks what lies behind a restored head as lost, and returns it. */
  lose(head: Position): Order[] {
    const lost = this.orders.filter(
      (order) => !order.lost && comparePositions(order.position, head) > 0,
    );
    for (const order of lost) order.lost = true;
    return lost;
  }

  /** The same places will be others: nobody knows yet which. */
  forgetPlaces(head: Position): void {
    for (const name of this.digests.keys()) {
      const place = parsePosition(name);
      if (place !== null && comparePositions(place, head) > 0) this.digests.delete(name);
    }
  }

  lift(killId: string): void {
    for (const order of this.orders) if (order.killId === killId) order.lifted = true;
  }

  isLifted(killId: string): boolean {
    const orders = this.orders.filter((order) => order.killId === killId);
    return orders.length > 0 && orders.every((order) => order.lifted);
  }

  /** @param ep where it is to be let in; the kill of that enforcement point stops everything there */
  against(lineage: Lineage, ep?: string): Order[] {
    const place = ep === undefined ? undefined : `enforcement_point:${ep}`;
    return this.orders.filter(
      (order) => !order.lifted && (order.subject === place || stops(order, lineage)),
    );
  }

  /** At some time, of whatever came of it. */
  wasKilled(ep: string): boolean {
    return this.orders.some(({ subject }) => subject === `enforcement_point:${ep}`);
  }

  /** Some order, emergency or lost order gives a reason to refuse this lineage. */
  hasReason(lineage: Lineage): boolean {
    return (
      this.orders.some((order) => stops(order, lineage)) ||
      this.emergencies.some(({ subject }) => lineage.some(([one]) => one === subject))
    );
  }

  /** What every enforcement point must refuse, and nothing else, once it knows everything. */
  isStopped(lineage: Lineage): boolean {
    return this.against(lineage).some((order) => !order.lost);
  }

  /** Enforcement points keep what the database lost, so of these nobody can say what is right. */
  isUndecided(lineage: Lineage): boolean {
    return this.orders.some((order) => order.lost && stops(order, lineage));
  }
}

function stops({ subject, floor }: Order, lineage: Lineage): boolean {
  return lineage.some(([one, generation]) => one === subject && generation < floor);
}
