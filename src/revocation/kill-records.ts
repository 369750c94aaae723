import { Injectable } from '@nestjs/common';
import { formatPosition, ProblemError, type Kill, type KillReceipt } from '@sever/protocol';
import { Containment, type OrderContainment } from '../enforcement/containment';
import { EmergencyRecords } from './emergency/emergency-records';
import type { OrderRef } from '../enforcement/roster.store';
import { RevocationStore, type ReleaseColumn, type RevocationRow } from './revocation.store';
import { DATABASE_RESTORED, NO_ENFORCEMENT_POINTS, summarize } from './summary';

/** The record of a kill as it stands at the moment it is read: what was ordered, what is proven, what is open. */
@Injectable()
export class KillRecords {
  constructor(
    private readonly store: RevocationStore,
    private readonly containment: Containment,
    private readonly emergencies: EmergencyRecords,
  ) {}

  async get(tenant: string, id: string): Promise<Kill> {
    const emergency = this.emergencies.find(tenant, id);
    if (emergency !== undefined) return emergency;
    const [{ kill }, came_back] = await Promise.all([
      this.withReceipts(tenant, id),
      this.store.cameBack(tenant, id),
    ]);
    return kill.action === 'kill' ? { ...kill, came_back } : kill;
  }

  /** Waits, holding no connection, until the kill is contained or the time is up; then says how it stands. */
  async contained(tenant: string, id: string, waitMs: number): Promise<Kill> {
    if (waitMs > 0)
      await this.containment.waitForContainment(tenant, refOf(await this.find(tenant, id)), waitMs);
    return this.get(tenant, id);
  }

  async toKills(tenant: string, rows: RevocationRow[]): Promise<Kill[]> {
    const found = await this.containment.forOrders(tenant, rows.map(refOf));
    return rows.map((row, at) => toKill(row, found[at] as OrderContainment));
  }

  /** The record and its receipts from one reading, so that they agree. */
  async withReceipts(tenant: string, id: string): Promise<{ kill: Kill; receipts: KillReceipt[] }> {
    const emergency = this.emergencies.find(tenant, id);
    if (emergency !== undefined) return { kill: emergency, receipts: [] };
    const row = await this.store.find(tenant, id);
    if (row === undefined) return this.notCommitted(tenant, id);
    const [found] = await this.containment.forOrders(tenant, [refOf(row)]);
    const { receipts } = found as OrderContainment;
    return { kill: toKill(row, found as OrderContainment), receipts };
  }

  /** An order that was announced without the database, and that it did not take afterwards. */
  private async notCommitted(
    tenant: string,
    id: string,
  ): Promise<{ kill: Kill; receipts: KillReceipt[] }> {
    const closed = await this.emergencies.closed(tenant, id);
    if (closed === undefined) throw new ProblemError('not_found', `There is no kill ${id}.`);
    return 'merged' in closed
      ? this.withReceipts(tenant, closed.merged)
      : { kill: closed, receipts: [] };
  }

  async receipts(tenant: string, id: string): Promise<KillReceipt[]> {
    return (await this.withReceipts(tenant, id)).receipts;
  }

  async find(tenant: string, id: string): Promise<RevocationRow> {
    const row = await this.store.find(tenant, id);
    if (!row) throw new ProblemError('not_found', `There is no kill ${id}.`);
    return row;
  }
}

function refOf(row: RevocationRow): OrderRef {
  return {
    id: row.id,
    epoch: Number(row.epoch),
    firstSeq: Number(row.first_seq),
    lastSeq: Number(row.last_seq),
    leaseValidMs: row.lease_valid_ms,
    replica: row.replica,
    committedMonoMs: row.committed_mono_ms,
  };
}

function toKill(row: RevocationRow, found: OrderContainment): Kill {
  const { state, containment, unsettledMs } = found;
  return {
    id: row.id,
    state,
    action: row.action,
    subject: row.subjects[0] as Kill['subject'],
    subjects: row.subjects,
    stream_token: formatPosition({ epoch: Number(row.epoch), seq: Number(row.last_seq) }),
    reason: row.reason,
    ticket: row.ticket,
    created_at: row.created_at.toISOString(),
    created_by: row.created_by,
    summary: summarize(row, state, containment),
    warnings: [
      ...(containment.required === 0 ? [NO_ENFORCEMENT_POINTS] : []),
      ...(row.matched === 0 ? ['matched_nothing'] : []),
      ...(unsettledMs > 0 ? [DATABASE_RESTORED] : []),
      ...row.warnings,
    ],
    ...(row.not_found.length > 0 && { not_found: row.not_found }),
    ...(row.resolved && { resolved: row.resolved }),
    ...(row.matched !== null && { matched: row.matched }),
    ...(row.nearest && { nearest: row.nearest }),
    ...(row.action === 'suspend' && {
      level: row.level ?? 'deny_all',
      expires_at: row.expires_at?.toISOString() ?? null,
    }),
    in_flight: row.in_flight,
    ...(row.hold_until && { hold_until: row.hold_until.toISOString() }),
    lifted: released(row.lifted),
    escalated: released(row.escalated),
    reinstated: released(row.reinstated),
    refused_since: Number(row.refused_since),
    cascade: {
      state: row.cascade_state,
      agents: row.cascade_agents,
      credentials: row.cascade_credentials,
    },
    containment,
  };
}

/** The database writes its own form of time. */
function released(column: ReleaseColumn | null): Kill['lifted'] {
  return column && { ...column, at: new Date(column.at).toISOString() };
}
