import { Injectable } from '@nestjs/common';
import { KillPool } from '../database/kill-pool';
import { UnitOfWork } from '../database/unit-of-work';

export interface KeyRow {
  source: 'api' | 'enrolment' | 'access';
  tenant: string;
  id: string;
  owner_id: string;
  role: string;
  name: string;
  valid: boolean;
  stale_use: boolean;
  /** Milliseconds since the Unix epoch; `null` for a key that does not expire. */
  expires_at: number | null;
  /** Of an enforcement point that is killed: may it still hear and confirm that? */
  standing: 'live' | 'ending' | 'ended';
}

/** A killed enforcement point has this long to hear of it here and to confirm it, as it has at the broker. */
const HEAR = `interval '10 seconds'`;

const KEY_BY_HASH = `
  SELECT 'api' AS source, tenant, id, principal_id AS owner_id, role, name,
         revoked_at IS NULL AND expires_at > now() AS valid,
         last_used_at IS NULL OR last_used_at < now() - interval '1 minute' AS stale_use,
         floor(extract(epoch FROM expires_at) * 1000)::float8 AS expires_at, 'live' AS standing
  FROM api_key WHERE hash = $1
  UNION ALL
  -- One that an order killed is known by that: enrolment answers it with 403, and what to do.
  SELECT 'enrolment', tenant, id, id, 'enroller', name, (revoked_at IS NULL OR revoked_by IS NOT NULL) AND expires_at > now(),
         last_used_at IS NULL OR last_used_at < now() - interval '1 minute',
         floor(extract(epoch FROM expires_at) * 1000)::float8, 'live'
  FROM enrolment_key WHERE hash = $1
  UNION ALL
  SELECT 'access', tenant, id, id, 'enforcement_point', name, true, false, NULL,
         CASE WHEN revoked_at IS NULL THEN 'live'
              WHEN revoked_at > now() - ${HEAR} AND EXISTS (
                SELECT FROM boot b WHERE b.tenant = e.tenant AND b.ep_id = e.id AND b.left_at IS NULL
                  AND NOT EXISTS (
                    SELECT FROM receipt r WHERE r.tenant = b.tenant AND r.boot_id = b.boot_id
                      AND (r.epoch, r.applied) >= (b.until_epoch, b.until_seq)))
              THEN 'ending' ELSE 'ended' END
  FROM enforcement_point e WHERE access_key_hash = $1`;

/** Keys that may stop something by themselves. What a service may stop depends on the tree, so its keys are left out. */
const VALID_KEYS = `
  SELECT hash, tenant, id, principal_id AS owner_id, role, name,
         floor(extract(epoch FROM expires_at) * 1000)::float8 AS expires_at
  FROM api_key WHERE revoked_at IS NULL AND expires_at > now() AND role <> 'service'
  ORDER BY last_used_at DESC NULLS LAST LIMIT 10000`;

/** Orders to stop are authenticated over connections of their own, whatever agents are doing. */
export type Lane = 'usual' | 'kill';

export interface ValidKeyRow {
  hash: Buffer;
  tenant: string;
  id: string;
  owner_id: string;
  role: string;
  name: string;
  /** Milliseconds since the Unix epoch. */
  expires_at: number;
}

export interface DenialRow {
  subject: string;
  order_id: string;
  action: 'kill' | 'complete' | 'suspend';
}

@Injectable()
export class AccessStore {
  constructor(
    private readonly work: UnitOfWork,
    private readonly kills: KillPool,
  ) {}

  /** Whose key has this hash? Before the answer there is no tenant, so this one question goes over all of them. */
  async keyByHash(hash: Buffer, lane: Lane): Promise<KeyRow | undefined> {
    const [row] = await this.ask<KeyRow>(lane, KEY_BY_HASH, [hash]);
    return row;
  }

  /** Over all tenants. */
  async validKeys(): Promise<ValidKeyRow[]> {
    return this.work.querySystem<ValidKeyRow>(VALID_KEYS);
  }

  /** `last_used_at` is kept to the minute, so that a busy key is not a hot row. */
  async touch({ source, tenant, id }: KeyRow): Promise<void> {
    const table = source === 'api' ? 'api_key' : 'enrolment_key';
    await this.work.querySystem(
      `UPDATE ${table} SET last_used_at = now() WHERE tenant = $1 AND id = $2`,
      [tenant, id],
    );
  }

  /** Why a token's lineage is dead now, by the database: the control plane never relies on a view of its own. */
  async denialOf(
    tenant: string,
    subjects: string[],
    generations: number[],
    lane: Lane,
  ): Promise<DenialRow | undefined> {
    const [row] = await this.ask<DenialRow>(
      lane,
      `SELECT * FROM sever_denial($1, $2::text[], $3::bigint[])`,
      [tenant, subjects, generations],
    );
    return row;
  }

  private ask<T extends object>(lane: Lane, sql: string, parameters: unknown[]): Promise<T[]> {
    return lane === 'kill'
      ? this.kills.read<T>(sql, parameters)
      : this.work.querySystem<T>(sql, parameters);
  }
}
