import { Injectable } from '@nestjs/common';
import { ProblemError } from '@sever/protocol';
import { Failpoints } from '../config/failpoints';
import { KillPool } from '../database/kill-pool';
import type { SqlRefusal } from '../lineage/refusal';
import { Replica } from '../stream/replica';
import type { Order } from './order';
import { untilCertain } from './until-certain';

export interface CommittedOrder {
  id: string;
  created_at: string;
  epoch: number;
  lease_valid_ms: number;
  /**
   * Monotonic clock of this replica just before the statement was sent. The commit came later, so a latency reckoned
   * from here is never too small.
   */
  sentMonoMs: number;
  entries: { seq: number; payload: string }[];
}

/** What `sever_revoke` says of one order. */
export type Outcome = CommittedOrder | SqlRefusal | { replay: string } | { id: string; noop: true };

interface Waiting {
  order: Order;
  resolve: (outcome: Outcome) => void;
  reject: (error: unknown) => void;
}

const MAX_BATCH = 64;

/**
 * Commits orders. While one of a tenant is on its way, later ones wait in memory and go together: one fence, one lock of
 * the head, one fsync for up to 64 of them.
 */
@Injectable()
export class CommitOrders {
  private readonly waiting = new Map<string, Waiting[]>();
  private readonly busy = new Set<string>();

  constructor(
    private readonly pool: KillPool,
    private readonly replica: Replica,
    private readonly failpoints: Failpoints,
  ) {}

  /** Resolves once the database has committed the order, or refused it. */
  submit(tenant: string, order: Order): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const queue = this.waiting.get(tenant) ?? [];
      queue.push({ order, resolve, reject });
      this.waiting.set(tenant, queue);
      if (!this.busy.has(tenant)) void this.drain(tenant);
    });
  }

  private async drain(tenant: string): Promise<void> {
    this.busy.add(tenant);
    for (let queue = this.waiting.get(tenant); queue && queue.length > 0;) {
      const batch = queue.splice(0, MAX_BATCH);
      try {
        const outcomes = await this.commit(
          tenant,
          batch.map(({ order }) => order),
        );
        batch.forEach(({ resolve }, at) => resolve(outcomes[at] as Outcome));
      } catch (error) {
        // One bad order must not fail its neighbours: each is tried once more by itself. A database that is away fails
        // all alike, and asking it for each would keep everybody waiting for the sum of the attempts.
        if (batch.length === 1 || isUnavailable(error))
          for (const { reject } of batch) reject(error);
        else await this.oneByOne(tenant, batch);
      }
    }
    this.waiting.delete(tenant);
    this.busy.delete(tenant);
  }

  private async oneByOne(tenant: string, batch: Waiting[]): Promise<void> {
    for (const { order, resolve, reject } of batch)
      await this.commit(tenant, [order]).then(([outcome]) => resolve(outcome as Outcome), reject);
  }

  private async commit(tenant: string, orders: Order[]): Promise<Outcome[]> {
    await this.failpoints.hit('kill.before_commit');
    if (orders.length > 1) await this.failpoints.hit('batch.before_commit');
    return untilCertain(async () => {
      const sentMonoMs = this.replica.monotonic();
      const [row] = await this.pool.query<{ outcomes: Outcome[] }>(
        `SELECT sever_revoke($1, $2) AS outcomes`,
        [tenant, JSON.stringify(orders)],
      );
      await this.failpoints.hit('kill.after_commit');
      if (orders.length > 1) await this.failpoints.hit('batch.after_commit');
      return (row as { outcomes: Outcome[] }).outcomes.map((outcome) =>
        'entries' in outcome ? { ...outcome, sentMonoMs } : outcome,
      );
    });
  }
}

function isUnavailable(error: unknown): boolean {
  return error instanceof ProblemError && error.code === 'unavailable';
}
