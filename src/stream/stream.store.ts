import { Injectable } from '@nestjs/common';
import type { Position } from '@sever/protocol';
import { UnitOfWork } from '../database/unit-of-work';
import { newsAnswer, rangeAnswer, type KeptHead, type News, type Range } from './stream-answers';

/** One entry as the database holds it: the payload is signed byte for byte. */
export interface StoredEntry {
  readonly seq: number;
  readonly payload: string;
}

export interface TenantHead extends Position {
  readonly tenant: string;
  /** The longest lease that may be out, milliseconds. */
  readonly leaseMs?: number;
}

/** What the pulse of a tenant says. */
export interface PulseHead extends TenantHead {
  readonly boots: number;
  readonly now: number;
}

export type StoredRange = Range<StoredEntry>;
export type StoredNews = News<StoredEntry>;

/** A control plane that died may have left this many entries committed and unpublished, and for this long. */
const REPUBLISHED_ENTRIES = 5_000;
const REPUBLISHED_MINUTES = 15;

/** Reads of the revocation stream, on the primary. */
@Injectable()
export class StreamStore {
  constructor(private readonly work: UnitOfWork) {}

  async heads(): Promise<TenantHead[]> {
    const rows = await this.work.querySystem<Row & { lease_ms: number }>(
      `SELECT h.tenant, h.epoch, h.seq, greatest(t.lease_valid_ms, t.lease_valid_ms_before) AS lease_ms
       FROM stream_head h JOIN tenant t ON t.id = h.tenant`,
    );
    return rows.map((row) => ({ ...toHead(row), leaseMs: row.lease_ms }));
  }

  /**
   * Tenants that have enforcement points, and how many processes of them live. Revoked ones count: one that was cut off
   * when it was revoked gets neither snapshot nor lease, and only a pulse tells it that it has missed its own entry.
   */
  async pulseHeads(): Promise<PulseHead[]> {
    const rows = await this.work.querySystem<Row & { boots: string; now: string }>(
      `SELECT h.tenant, h.epoch, h.seq, floor(extract(epoch FROM statement_timestamp()) * 1000) AS now,
              (SELECT count(*) FROM boot b WHERE b.tenant = h.tenant AND b.until_epoch IS NULL) AS boots
       FROM stream_head h
       WHERE EXISTS (SELECT FROM enforcement_point e WHERE e.tenant = h.tenant)`,
    );
    return rows.map((row) => ({ ...toHead(row), boots: Number(row.boots), now: Number(row.now) }));
  }

  /** From where a replica that has just started publishes again; `null` for a tenant that does not exist. */
  async republishFrom(tenant: string): Promise<Position | null> {
    const [row] = await this.work.querySystem<{ epoch: string; seq: string }>(
      `SELECT h.epoch, coalesce(
         (SELECT min(recent.seq) - 1 FROM (
            SELECT seq, at FROM stream_entry e
            WHERE e.tenant = h.tenant AND e.epoch = h.epoch AND e.seq > h.seq - $2) recent
          WHERE recent.at > now() - make_interval(mins => $3)), h.seq) AS seq
       FROM stream_head h WHERE h.tenant = $1`,
      [tenant, REPUBLISHED_ENTRIES, REPUBLISHED_MINUTES],
    );
    return row ? { epoch: Number(row.epoch), seq: Number(row.seq) } : null;
  }

  /** The entries after a place, in order; those of a later epoch, from its first on, when there is one. */
  async entriesAfter(
    tenant: string,
    { epoch, seq }: Position,
    limit: number,
  ): Promise<{ epoch: number; entries: StoredEntry[] } | null> {
    const rows = await this.work.querySystem<{ epoch: string; seq: string; payload: string }>(
      `SELECT e.epoch, e.seq, e.payload FROM stream_head h
       JOIN stream_entry e ON e.tenant = h.tenant AND e.epoch = h.epoch
        AND e.seq > CASE WHEN h.epoch = $2 THEN $3::bigint ELSE 0 END
       WHERE h.tenant = $1 AND h.epoch >= $2 ORDER BY e.seq LIMIT $4`,
      [tenant, epoch, seq, limit],
    );
    const [first] = rows;
    return first ? { epoch: Number(first.epoch), entries: rows.map(toEntry) } : null;
  }

  /** `null`: no such tenant. */
  async newsSince(
    tenant: string,
    { epoch, seq }: Position,
    limit: number,
  ): Promise<StoredNews | null> {
    const rows = await this.work.querySystem<KeptRow>(
      `SELECT h.epoch, h.seq AS head, h.compacted_below, e.seq, e.payload
       FROM stream_head h
       LEFT JOIN stream_entry e ON e.tenant = h.tenant AND e.epoch = h.epoch AND h.epoch = $2 AND e.seq > $3
       WHERE h.tenant = $1 ORDER BY e.seq LIMIT $4`,
      [tenant, epoch, seq, limit],
    );
    const head = keptHead(rows);
    return head && newsAnswer({ epoch, seq }, head, entriesOf(rows));
  }

  async head(tenant: string): Promise<Position | null> {
    const [row] = await this.work.querySystem<Row>(
      `SELECT tenant, epoch, seq FROM stream_head WHERE tenant = $1`,
      [tenant],
    );
    return row ? { epoch: Number(row.epoch), seq: Number(row.seq) } : null;
  }

  async range(
    tenant: string,
    asked: { epoch: number; from: number; to: number },
    limit: number,
  ): Promise<StoredRange> {
    const rows = await this.work.querySystem<KeptRow>(
      `SELECT h.epoch, h.seq AS head, h.compacted_below, e.seq, e.payload
       FROM stream_head h
       LEFT JOIN stream_entry e ON e.tenant = h.tenant AND e.epoch = h.epoch AND h.epoch = $2
         AND e.seq BETWEEN $3 AND $4
       WHERE h.tenant = $1 ORDER BY e.seq LIMIT $5`,
      [tenant, asked.epoch, asked.from, asked.to, limit],
    );
    return rangeAnswer(asked, keptHead(rows), entriesOf(rows));
  }
}

interface Row {
  tenant: string;
  epoch: string;
  seq: string;
}

interface EntryRow {
  seq: string;
  payload: string;
}

/** An entry, if there is one, beside the head as it was then. */
interface KeptRow {
  epoch: string;
  head: string;
  compacted_below: string;
  seq: string | null;
  payload: string;
}

function keptHead([row]: readonly KeptRow[]): KeptHead | null {
  if (row === undefined) return null;
  const { epoch, head, compacted_below } = row;
  return { epoch: Number(epoch), seq: Number(head), compactedBelow: Number(compacted_below) };
}

function entriesOf(rows: readonly KeptRow[]): StoredEntry[] {
  return rows.flatMap(({ seq, payload }) => (seq === null ? [] : [toEntry({ seq, payload })]));
}

function toHead({ tenant, epoch, seq }: Row): TenantHead {
  return { tenant, epoch: Number(epoch), seq: Number(seq) };
}

function toEntry({ seq, payload }: EntryRow): StoredEntry {
  return { seq: Number(seq), payload };
}
