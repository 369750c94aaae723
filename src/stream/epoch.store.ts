import { Injectable } from '@nestjs/common';
import type { EpochInfo } from '@sever/protocol';
import { UnitOfWork } from '../database/unit-of-work';
import { lostRanges, type Opening } from './lost-ranges';

interface Row {
  epoch: string;
  opened_at: Date;
  because: EpochInfo['because'];
  former_epoch: string;
  former_seq: string;
  seen_epoch: string | null;
  seen_seq: string | null;
  settled: boolean;
  orders: string[];
  shown: { epoch: number; seq: number }[];
}

const OPENINGS = `
  SELECT o.epoch, o.opened_at, o.because, o.former_epoch, o.former_seq, o.seen_epoch, o.seen_seq,
         o.settled_at IS NOT NULL AS settled, r.orders, r.shown
  FROM epoch_opening o, LATERAL (
    SELECT coalesce(array_agg(DISTINCT x.order_id) FILTER (WHERE x.lifts IS NULL), '{}') AS orders,
           coalesce(jsonb_agg(DISTINCT jsonb_build_object('epoch', x.epoch, 'seq', x.seq)), '[]') AS shown
    FROM restored_entry x WHERE x.tenant = o.tenant AND x.opening = o.epoch) r`;

@Injectable()
export class EpochStore {
  constructor(private readonly work: UnitOfWork) {}

  /** Newest first. `before`: the epoch after which the page goes on. */
  async list(tenant: string, limit: number, before: number | null): Promise<EpochInfo[]> {
    const rows = await this.work.query<Row>(
      tenant,
      `${OPENINGS} WHERE o.tenant = $1 AND ($2::bigint IS NULL OR o.epoch < $2) ORDER BY o.epoch DESC LIMIT $3`,
      [tenant, before, limit],
    );
    return rows.map(toInfo);
  }

  /** Places of all tenants that are known to have been lost, and that nobody has shown. */
  async countLost(): Promise<number> {
    const rows = await this.work.querySystem<Row>(`${OPENINGS} WHERE o.seen_epoch IS NOT NULL`);
    return rows
      .flatMap((row) => lostRanges(toOpening(row)))
      .reduce((sum, { from, to }) => sum + (to === null ? 1 : to - from + 1), 0);
  }

  /** `null` for the first epoch of a tenant, which nothing came before. */
  async waiting(
    tenant: string,
    epoch: number,
  ): Promise<{ leaseValidMs: number; settled: boolean } | null> {
    const [row] = await this.work.querySystem<{ lease_valid_ms: number; settled: boolean }>(
      `SELECT lease_valid_ms, settled_at IS NOT NULL AS settled FROM epoch_opening WHERE tenant = $1 AND epoch = $2`,
      [tenant, epoch],
    );
    return row ? { leaseValidMs: row.lease_valid_ms, settled: row.settled } : null;
  }

  async settle(tenant: string, epoch: number): Promise<void> {
    await this.work.querySystem(
      `UPDATE epoch_opening SET settled_at = clock_timestamp() WHERE tenant = $1 AND epoch = $2 AND settled_at IS NULL`,
      [tenant, epoch],
    );
  }
}

function toOpening(row: Row): Opening {
  return {
    former: { epoch: Number(row.former_epoch), seq: Number(row.former_seq) },
    seen:
      row.seen_epoch === null ? null : { epoch: Number(row.seen_epoch), seq: Number(row.seen_seq) },
    shown: row.shown,
  };
}

function toInfo(row: Row): EpochInfo {
  const opening = toOpening(row);
  return {
    epoch: Number(row.epoch),
    opened_at: row.opened_at.toISOString(),
    because: row.because,
    former_head: `${row.former_epoch}.${row.former_seq}`,
    highest_seen: row.seen_epoch === null ? null : `${row.seen_epoch}.${row.seen_seq ?? 0}`,
    restored: [...row.orders].sort(),
    lost: lostRanges(opening).map(({ epoch, from, to }) => ({
      from: `${epoch}.${from}`,
      to: to === null ? null : `${epoch}.${to}`,
    })),
    settled: row.settled,
  };
}
