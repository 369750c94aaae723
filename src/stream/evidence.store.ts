import { Injectable } from '@nestjs/common';
import { UnitOfWork } from '../database/unit-of-work';
import type { ReadEntry } from './read-entry';

/** `known`: nothing to do; `ahead`: this database is still in its epoch and does not hold it; else it is lost. */
export type Verdict = 'known' | 'ahead' | 'lost';

export interface Restored {
  readonly epoch: number;
  /** Ids of the orders that were committed again. */
  readonly orders: readonly string[];
  readonly entries: readonly { readonly seq: number; readonly payload: string }[];
}

@Injectable()
export class EvidenceStore {
  constructor(private readonly work: UnitOfWork) {}

  /** In the order of the entries. */
  async judge(tenant: string, entries: readonly ReadEntry[]): Promise<Verdict[]> {
    const rows = await this.work.querySystem<{ verdict: Verdict }>(
      `SELECT sever_judge_entry($1, v.epoch, v.seq, v.payload) AS verdict
       FROM ROWS FROM (jsonb_to_recordset($2::jsonb) AS (epoch bigint, seq bigint, payload text))
            WITH ORDINALITY AS v(epoch, seq, payload, n) ORDER BY v.n`,
      [tenant, JSON.stringify(entries.map(({ entry, payload }) => placed(entry, payload)))],
    );
    return rows.map(({ verdict }) => verdict);
  }

  /** @returns whether the database is still in that epoch, or an older one, and does not hold that place */
  async lacks(tenant: string, at: { epoch: number; seq: number; digest: string }) {
    const [row] = await this.work.querySystem<{ lacks: boolean | null }>(
      `SELECT sever_has_lost($1, $2, $3, $4) AS lacks`,
      [tenant, at.epoch, at.seq, at.digest],
    );
    return row?.lacks ?? false;
  }

  async epoch(tenant: string): Promise<number> {
    const [row] = await this.work.querySystem<{ epoch: string }>(
      `SELECT epoch FROM stream_head WHERE tenant = $1`,
      [tenant],
    );
    return Number(row?.epoch ?? 0);
  }

  /** Remembers how far the former epoch is known to have reached. */
  async seen(tenant: string, { epoch, seq }: { epoch: number; seq: number }): Promise<void> {
    await this.work.querySystem(
      `UPDATE epoch_opening o SET seen_epoch = $2, seen_seq = $3
       WHERE o.tenant = $1
         AND o.epoch = (SELECT min(x.epoch) FROM epoch_opening x WHERE x.tenant = $1 AND x.epoch > $2)
         AND (o.former_epoch, o.former_seq) < ($2, $3)
         AND (o.seen_epoch IS NULL OR (o.seen_epoch, o.seen_seq) < ($2, $3))`,
      [tenant, epoch, seq],
    );
  }

  /** The entries' signatures have been verified. */
  async restore(tenant: string, by: string, entries: readonly ReadEntry[]): Promise<Restored> {
    const [row] = await this.work.call<{ restored: Restored }>(
      `SELECT sever_restore($1, $2) AS restored`,
      [
        tenant,
        JSON.stringify(
          entries.map(({ entry, payload }) => ({ ...placed(entry, payload), shown_by: by })),
        ),
      ],
    );
    if (row === undefined) throw new Error('nothing came back from a restoring');
    return row.restored;
  }
}

function placed({ epoch, seq }: { epoch: number; seq: number }, payload: string) {
  return { epoch, seq, payload };
}
