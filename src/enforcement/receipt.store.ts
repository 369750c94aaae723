import { Injectable } from '@nestjs/common';
import type { Receipt } from '@sever/protocol';
import { UnitOfWork } from '../database/unit-of-work';
import type { ReceiptFacts } from './receipt-rules';

/** A receipt whose signature holds, as it arrived. */
export interface ArrivedReceipt {
  readonly receipt: Receipt;
  readonly jws: string;
  /** This replica's monotonic clock at the arrival, milliseconds. */
  readonly arrivedAt: number;
}

const CHAIN_START = Buffer.alloc(32).toString('base64url');

@Injectable()
export class ReceiptStore {
  constructor(private readonly work: UnitOfWork) {}

  /** One statement for all that wait: none of them can be judged by a head older than its arrival. */
  async standings(arrived: readonly ArrivedReceipt[]): Promise<(ReceiptFacts | null)[]> {
    const rows = await this.work.querySystem<{
      n: string;
      epoch: string;
      seq: string;
      known: boolean;
      digest: Buffer | null;
    }>(
      `SELECT a.n, h.epoch, h.seq, b.boot_id IS NOT NULL AS known, s.digest
       FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
            WITH ORDINALITY AS a(tenant, ep, boot_id, epoch, applied, n)
       JOIN stream_head h ON h.tenant = a.tenant
       LEFT JOIN boot b ON b.tenant = a.tenant AND b.boot_id = a.boot_id AND b.ep_id = a.ep
       LEFT JOIN stream_entry s ON s.tenant = a.tenant AND s.epoch = h.epoch AND s.epoch = a.epoch AND s.seq = a.applied`,
      [
        arrived.map(({ receipt }) => receipt.tenant),
        arrived.map(({ receipt }) => receipt.ep),
        arrived.map(({ receipt }) => receipt.boot_id),
        arrived.map(({ receipt }) => receipt.epoch),
        arrived.map(({ receipt }) => receipt.applied),
      ],
    );
    const standings: (ReceiptFacts | null)[] = arrived.map(() => null);
    for (const row of rows) {
      const at = Number(row.n) - 1;
      const start = arrived[at]?.receipt.applied === 0;
      standings[at] = {
        epoch: Number(row.epoch),
        head: Number(row.seq),
        known: row.known,
        digest: start ? CHAIN_START : (row.digest?.toString('base64url') ?? null),
      };
    }
    return standings;
  }

  /**
   * Stores each step of a boot once. A later receipt for the same step only brings counts of calls in flight: when the
   * step was first received stays, for that is what a latency is reckoned from.
   *
   * @param arrived at most one for each (boot, epoch, applied)
   */
  async insert(arrived: readonly ArrivedReceipt[], replicaId: string): Promise<void> {
    await this.work.querySystem(
      `INSERT INTO receipt (tenant, boot_id, epoch, applied, ep_id, held_ms, in_flight, nacks, digest, jws, replica,
                            received_mono_ms)
       SELECT a.tenant, a.boot_id, a.epoch, a.applied, a.ep, a.held_ms, a.in_flight, a.nacks, a.digest, a.jws, $1,
              a.arrived_at
       FROM jsonb_to_recordset($2::jsonb) AS a(tenant text, boot_id text, epoch bigint, applied bigint, ep text,
            held_ms double precision, in_flight jsonb, nacks jsonb, digest text, jws text, arrived_at double precision)
       ON CONFLICT (tenant, boot_id, epoch, applied) DO UPDATE
       SET in_flight = receipt.in_flight || excluded.in_flight, jws = excluded.jws
       WHERE NOT receipt.in_flight @> excluded.in_flight`,
      [replicaId, JSON.stringify(arrived.map(toRow))],
    );
    await this.countStale(arrived);
  }

  /** A boot's own count only grows; most have none, and cost nothing. */
  private async countStale(arrived: readonly ArrivedReceipt[]): Promise<void> {
    const counted = arrived.filter(({ receipt }) => (receipt.stale_admissions ?? 0) > 0);
    if (counted.length === 0) return;
    await this.work.querySystem(
      `UPDATE boot b SET stale_admissions = a.n
       FROM unnest($1::text[], $2::text[], $3::bigint[]) AS a(tenant, boot_id, n)
       WHERE b.tenant = a.tenant AND b.boot_id = a.boot_id AND b.stale_admissions < a.n`,
      [
        counted.map(({ receipt }) => receipt.tenant),
        counted.map(({ receipt }) => receipt.boot_id),
        counted.map(({ receipt }) => receipt.stale_admissions),
      ],
    );
  }
}

function toRow({ receipt, jws, arrivedAt }: ArrivedReceipt) {
  const { tenant, boot_id, epoch, applied, ep, held_ms, in_flight, digest } = receipt;
  const nacks = receipt.nacks.map(({ seq, error }) => ({ seq, error: printable(error) }));
  return {
    tenant,
    boot_id,
    epoch,
    applied,
    ep,
    held_ms,
    in_flight,
    nacks,
    digest,
    jws,
    arrived_at: arrivedAt,
  };
}

/** What JSON may hold, jsonb may not (NUL, lone surrogates): one such text would fail everybody's receipts. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?');
}
