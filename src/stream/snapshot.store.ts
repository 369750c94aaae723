import { Injectable } from '@nestjs/common';
import { FLOOR_KEEP_MS, type KeyPurpose, type Position, type PublicJwk } from '@sever/protocol';
import { UnitOfWork } from '../database/unit-of-work';
import { StandingEmergencies } from './standing-emergencies';

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
  /** Announced while the database was away, and not in force yet. */
  readonly emergencies: readonly (readonly [killId: string, subject: string])[];
  readonly keys: readonly {
    readonly purpose: KeyPurpose;
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

/**
 * Emergencies that are over, for as long as somebody may still open one. Not those that stand as suspensions now: on the
 * wire the end of the one would be the end of the other, and their own entries close them.
 */
const CLOSED_EMERGENCIES = `
  SELECT kill_id FROM emergency e WHERE tenant = $1 AND not_after > now() AND (state <> 'committed' OR NOT EXISTS (
    SELECT FROM suspension u WHERE u.tenant = e.tenant AND u.order_id = e.kill_id))`;

/** Of the ids in $2: which are closed, and which subjects of the others have entries of their own. */
const OVERTAKEN = `
  SELECT kill_id, NULL AS subject FROM emergency WHERE tenant = $1 AND kill_id = ANY ($2)
  UNION ALL
  SELECT r.id, e.payload::jsonb->'op'->>'subject'
  FROM revocation r JOIN stream_entry e ON e.tenant = r.tenant AND e.epoch = r.epoch AND e.order_id = r.id
   AND e.seq BETWEEN r.first_seq AND r.last_seq
  WHERE r.tenant = $1 AND r.id = ANY ($2)`;

@Injectable()
export class SnapshotStore {
  constructor(
    private readonly work: UnitOfWork,
    private readonly emergencies: StandingEmergencies,
  ) {}

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
          `SELECT wire_id AS order_id, subject, level, epoch, seq FROM suspension WHERE tenant = $1 AND lifted_at IS NULL`,
          [tenant],
        );
        const lifted = await manager.query<{ order_id: string }[]>(
          // An entry of this epoch that is replayed finds its place taken; a suspension of an older one is only ended by name.
          `SELECT wire_id AS order_id FROM suspension
           WHERE tenant = $1 AND (lifted_at IS NULL OR epoch < $2 OR lifted_at > now() - interval '25 hours')
           GROUP BY wire_id HAVING bool_and(lifted_at IS NOT NULL)`,
          [tenant, head.epoch],
        );
        const closed = await manager.query<{ kill_id: string }[]>(CLOSED_EMERGENCIES, [tenant]);
        const announced = this.emergencies.of(tenant);
        const overtaken = await manager.query<{ kill_id: string; subject: string | null }[]>(
          OVERTAKEN,
          [tenant, [...announced.keys()]],
        );
        const keys = await manager.query<SnapshotRead['keys']>(
          `SELECT purpose, kid, state, public_jwk AS jwk FROM signing_key WHERE tenant = $1
           UNION ALL
           SELECT 'halt', kid, CASE WHEN revoked_at IS NULL THEN 'live' ELSE 'dead' END, public_jwk FROM halt_key
           WHERE tenant = $1`,
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
          lifted: [...lifted.map((row) => row.order_id), ...closed.map((row) => row.kill_id)],
          emergencies: stillOpen(announced, overtaken),
          keys,
        };
      },
      'REPEATABLE READ',
    );
  }
}

/** An announcement that came after its own order would stand against what that order does not mean. */
function stillOpen(
  announced: ReadonlyMap<string, readonly string[]>,
  overtaken: readonly { kill_id: string; subject: string | null }[],
): [string, string][] {
  const over = new Set(overtaken.map(({ kill_id, subject }) => `${kill_id} ${subject ?? ''}`));
  return [...announced].flatMap(([killId, subjects]) =>
    over.has(`${killId} `)
      ? []
      : subjects
          .filter((subject) => !over.has(`${killId} ${subject}`))
          .map((subject): [string, string] => [killId, subject]),
  );
}
