import { Injectable } from '@nestjs/common';
import { FLOOR_KEEP_MS, type Position, type PublicJwk } from '@sever/protocol';
import { UnitOfWork } from '../database/unit-of-work';

export interface SnapshotRead extends Position {
  /** base64url */
  readonly digest: string;
  /** Milliseconds since the Unix epoch, as are all times here. */
  readonly now: number;
  readonly floors: readonly {
    readonly subject: string;
    readonly floor: number;
    readonly flooredAt: number;
    readonly orderId: string;
  }[];
  readonly suspensions: readonly {
    readonly orderId: string;
    readonly subject: string;
    readonly level: string | null;
    readonly epoch: number;
    readonly seq: number;
  }[];
  readonly lifted: readonly string[];
  readonly keys: readonly {
    readonly purpose: 'token' | 'stream';
    readonly kid: string;
    readonly state: 'next' | 'live' | 'previous' | 'dead';
    readonly jwk: PublicJwk;
  }[];
}

interface HeadRow {
  epoch: string;
  seq: string;
  digest: Buffer;
  now: string;
  standby: boolean;
}

@Injectable()
export class SnapshotStore {
  constructor(private readonly work: UnitOfWork) {}

  /**
   * Isolation: REPEATABLE READ, so head, floors, suspensions and keys are of one moment: a snapshot that named a place
   * without holding everything up to it would let what is missing live. On the primary alone.
   */
  async read(tenant: string): Promise<SnapshotRead> {
    return this.work.forTenant(
      tenant,
      async (manager) => {
        const [head] = await manager.query<HeadRow[]>(
          `SELECT epoch, seq, digest, floor(extract(epoch FROM now()) * 1000) AS now, pg_is_in_recovery() AS standby
           FROM stream_head WHERE tenant = $1`,
          [tenant],
        );
        if (!head) throw new Error(`tenant ${tenant} has no stream`);
        if (head.standby) throw new Error('a snapshot is only read on the primary');
        const floors = await manager.query<
          { subject: string; floor: string; floored_at: string; order_id: string }[]
        >(
          `SELECT subject, floor, floor(extract(epoch FROM floored_at) * 1000) AS floored_at, floor_order AS order_id
           FROM subject
           WHERE tenant = $1 AND floored_at > now() - make_interval(secs => $2::double precision / 1000)`,
          [tenant, FLOOR_KEEP_MS],
        );
        const standing = await manager.query<
          { order_id: string; subject: string; level: string | null; epoch: string; seq: string }[]
        >(
          `SELECT order_id, subject, level, epoch, seq FROM suspension WHERE tenant = $1 AND lifted_at IS NULL`,
          [tenant],
        );
        const lifted = await manager.query<{ order_id: string }[]>(
          `SELECT order_id FROM suspension WHERE tenant = $1 GROUP BY order_id HAVING bool_and(lifted_at IS NOT NULL)`,
          [tenant],
        );
        const keys = await manager.query<SnapshotRead['keys']>(
          `SELECT purpose, kid, state, public_jwk AS jwk FROM signing_key WHERE tenant = $1`,
          [tenant],
        );
        return {
          epoch: Number(head.epoch),
          seq: Number(head.seq),
          digest: head.digest.toString('base64url'),
          now: Number(head.now),
          floors: floors.map((row) => ({
            subject: row.subject,
            floor: Number(row.floor),
            flooredAt: Number(row.floored_at),
            orderId: row.order_id,
          })),
          suspensions: standing.map((row) => ({
            orderId: row.order_id,
            subject: row.subject,
            level: row.level,
            epoch: Number(row.epoch),
            seq: Number(row.seq),
          })),
          lifted: lifted.map((row) => row.order_id),
          keys,
        };
      },
      'REPEATABLE READ',
    );
  }
}
