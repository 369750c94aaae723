import { Injectable } from '@nestjs/common';
import { newId } from '@sever/protocol';
import { KillPool } from '../../database/kill-pool';
import { UnitOfWork } from '../../database/unit-of-work';
import type { StoredEntry } from '../../stream/stream.store';
import type { Order } from '../order';
import { untilCertain } from '../until-certain';
import type { EmergencyOrder } from './emergency-order';

/** `open`: the database has neither the order nor a refusal of it. */
export interface Closing {
  readonly state: 'open' | 'committed' | 'refused' | 'merged';
  readonly epoch?: number;
  readonly entries?: StoredEntry[];
}

/** Why the order is not there. `merged`: the same Idempotency-Key had made the order `replay`. */
export type EmergencyRefusal =
  | { readonly problem: string; readonly [detail: string]: unknown }
  | { readonly replay: string; readonly merged: true };

export interface ClosedEmergency {
  readonly state: 'committed' | 'refused' | 'merged';
  readonly ordered: Order;
  readonly refusal: (EmergencyRefusal & Record<string, unknown>) | null;
  readonly issued_at: Date;
  readonly closed_at: Date;
}

export interface KnownPoint {
  readonly tenant: string;
  readonly id: string;
  readonly name: string;
}

@Injectable()
export class EmergencyStore {
  constructor(
    private readonly pool: KillPool,
    private readonly work: UnitOfWork,
  ) {}

  /** Does the primary answer, and take orders? @throws Error when it does not */
  async probe(): Promise<void> {
    const [row] = await this.pool.read<{ standby: boolean }>(
      `SELECT pg_is_in_recovery() AS standby`,
      [],
    );
    if (row?.standby !== false) throw new Error('the database is a standby');
  }

  async close(emergency: EmergencyOrder, refusal: EmergencyRefusal | null): Promise<Closing> {
    const { tenant, order, subjects, issuedAt, notAfter } = emergency;
    const asked = JSON.stringify({
      kill_id: order.id,
      ordered: order,
      subjects,
      refusal,
      issued_ms: issuedAt,
      not_after_ms: notAfter,
      audit_id: newId('audit'),
    });
    return untilCertain(async () => {
      const [row] = await this.pool.query<{ answer: Closing }>(
        `SELECT sever_close_emergency($1, $2) AS answer`,
        [tenant, asked],
      );
      return (row as { answer: Closing }).answer;
    });
  }

  async closed(tenant: string, killId: string): Promise<ClosedEmergency | undefined> {
    const [row] = await this.pool.read<ClosedEmergency>(
      `SELECT state, ordered, refusal, issued_at, closed_at FROM emergency WHERE tenant = $1 AND kill_id = $2`,
      [tenant, killId],
    );
    return row;
  }

  async tenants(): Promise<string[]> {
    const rows = await this.work.querySystem<{ tenant: string }>(`SELECT tenant FROM stream_head`);
    return rows.map(({ tenant }) => tenant);
  }

  /** Enforcement points with a process on the roster, over all tenants. */
  async points(): Promise<KnownPoint[]> {
    return this.work.querySystem<KnownPoint>(
      `SELECT DISTINCT e.tenant, e.id, e.name FROM boot b
       JOIN enforcement_point e ON e.tenant = b.tenant AND e.id = b.ep_id
       WHERE b.until_epoch IS NULL AND b.left_at IS NULL ORDER BY e.name`,
    );
  }
}
