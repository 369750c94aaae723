import { Injectable } from '@nestjs/common';
import { formatPosition, ProblemError, type Kill, type KillReceipt } from '@sever/protocol';
import { Containment, type OrderContainment } from '../enforcement/containment';
import type { OrderRef } from '../enforcement/roster.store';
import { RevocationStore, type RevocationRow } from './revocation.store';
import { NO_ENFORCEMENT_POINTS, summarize } from './summary';

/** The record of a kill as it stands at the moment it is read: what was ordered, what is proven, what is open. */
@Injectable()
export class KillRecords {
  constructor(
    private readonly store: RevocationStore,
    private readonly containment: Containment,
  ) {}

  async get(tenant: string, id: string): Promise<Kill> {
    return (await this.withReceipts(tenant, id)).kill;
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
    const row = await this.find(tenant, id);
    const [found] = await this.containment.forOrders(tenant, [refOf(row)]);
    const { receipts } = found as OrderContainment;
    return { kill: toKill(row, found as OrderContainment), receipts };
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

function toKill(row: RevocationRow, { state, containment }: OrderContainment): Kill {
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
    summary: summarize(state, row.action, containment),
    warnings: containment.required === 0 ? [NO_ENFORCEMENT_POINTS] : [],
    ...(row.not_found.length > 0 ? { not_found: row.not_found } : {}),
    cascade: {
      state: row.cascade_state,
      agents: row.cascade_agents,
      credentials: row.cascade_credentials,
    },
    containment,
  };
}
