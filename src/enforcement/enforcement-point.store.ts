import { Injectable } from '@nestjs/common';
import { newId, type EnrolRequest, type PublicJwk, type Serves } from '@sever/protocol';
import type { EntityManager } from 'typeorm';
import { UnitOfWork } from '../database/unit-of-work';

export interface Enrolment {
  readonly tenant: string;
  readonly request: EnrolRequest;
  /** RFC 7638 thumbprint of the public key: what makes it the same enforcement point. */
  readonly kid: string;
  readonly proof: { readonly iat: number; readonly jti: string };
  readonly enrolmentKeyId: string;
  readonly actor: { readonly id: string; readonly name: string; readonly kind: string };
  readonly accessKeyHash: Buffer;
  /** Seals the lease key for the enforcement point with this id. */
  seal(id: string): Buffer;
}

export type EnrolmentOutcome =
  | { readonly refused: 'bad_proof' }
  | { readonly refused: 'revoked' }
  | { readonly refused: 'user_of_another' }
  | {
      readonly refused: null;
      readonly id: string;
      readonly created: boolean;
      /** `iat` of all JWTs of this enrolment, seconds since 1970; greater than that of any earlier one. */
      readonly userIssuedAt: number;
    };

export interface StoredPoint {
  readonly id: string;
  readonly name: string;
  readonly mode: 'strict' | 'best_effort';
  readonly abort: 'stream' | 'signal' | 'none';
  readonly nats_public_key: string;
  readonly user_issued_at: string;
  readonly created_at: Date;
  readonly serves: Serves | null;
}

export interface StoredBoot {
  readonly ep_id: string;
  readonly boot_id: string;
  readonly mode: 'strict' | 'best_effort';
  readonly since_epoch: string;
  readonly since_seq: string;
  readonly applied_epoch: string | null;
  readonly applied_seq: string | null;
  readonly last_seen_at: Date;
  readonly state: 'live' | 'silent' | 'left';
  readonly stale_admissions: string;
  readonly nacks: readonly { readonly seq: number; readonly error: string }[] | null;
}

interface Known {
  readonly id: string;
  readonly nats_public_key: string;
  readonly user_issued_at: string;
  readonly revoked: boolean;
}

const PROOF_SECONDS = 300;

@Injectable()
export class EnforcementPointStore {
  constructor(private readonly work: UnitOfWork) {}

  /** One transaction: the proof is used up only together with what it proves. */
  async enrol(enrolment: Enrolment): Promise<EnrolmentOutcome> {
    const { tenant } = enrolment;
    return this.work.forTenant(tenant, async (manager) => {
      if (!(await useProof(manager, enrolment))) return { refused: 'bad_proof' };
      // Two processes that enrol the same new key wait for each other here, and become one enforcement point.
      await manager.query(`SELECT pg_advisory_xact_lock(hashtextextended($1, 7401))`, [
        `${tenant}/${enrolment.kid}`,
      ]);
      const [known] = await manager.query<Known[]>(
        `SELECT e.id, e.nats_public_key, e.user_issued_at, e.revoked_at IS NOT NULL OR EXISTS (
           SELECT FROM suspension s WHERE s.tenant = $1 AND s.lifted_at IS NULL
             AND s.subject IN ('enforcement_point:' || e.id, 'enrolment_key:' || e.enrolment_key_id)) AS revoked
         FROM enforcement_point e WHERE e.tenant = $1 AND e.kid = $2 FOR UPDATE OF e`,
        [tenant, enrolment.kid],
      );
      if (known?.revoked || (await isKeyRevoked(manager, enrolment))) return { refused: 'revoked' };
      const id = known?.id ?? newId('enforcementPoint');
      if (!(await takeUser(manager, id, enrolment))) return { refused: 'user_of_another' };
      if (known) await endUser(manager, known);
      const userIssuedAt = await write(manager, id, enrolment);
      await manager.query(`SELECT sever_audit($1, $2, $3, $4::jsonb)`, [
        tenant,
        newId('audit'),
        known ? 'enforcement_point.enrolled_again' : 'enforcement_point.enrolled',
        JSON.stringify({
          actor: enrolment.actor,
          enforcement_point_id: id,
          name: enrolment.request.name,
          mode: enrolment.request.mode,
          enrolment_key_id: enrolment.enrolmentKeyId,
        }),
      ]);
      return { refused: null, id, created: known === undefined, userIssuedAt };
    });
  }

  async one(tenant: string, id: string): Promise<StoredPoint | undefined> {
    const [row] = await this.work.query<StoredPoint>(
      tenant,
      `SELECT id, name, mode, abort, nats_public_key, user_issued_at, created_at, serves FROM enforcement_point
         WHERE tenant = $1 AND id = $2 AND revoked_at IS NULL`,
      [tenant, id],
    );
    return row;
  }

  async keepServes(tenant: string, id: string, serves: Serves): Promise<void> {
    await this.work.query(
      tenant,
      `UPDATE enforcement_point SET serves = $3 WHERE tenant = $1 AND id = $2 AND serves IS DISTINCT FROM $3`,
      [tenant, id, JSON.stringify(serves)],
    );
  }

  async page(tenant: string, after: string, limit: number): Promise<StoredPoint[]> {
    return this.work.query<StoredPoint>(
      tenant,
      `SELECT id, name, mode, abort, nats_public_key, user_issued_at, created_at, serves FROM enforcement_point
         WHERE tenant = $1 AND id > $2 AND revoked_at IS NULL ORDER BY id LIMIT $3`,
      [tenant, after, limit],
    );
  }

  /** Boots on the roster, and those that left within the last hour. Silent: no lease request for longer than a lease. */
  async boots(tenant: string, ids: readonly string[]): Promise<StoredBoot[]> {
    return this.work.query<StoredBoot>(
      tenant,
      `SELECT b.ep_id, b.boot_id, b.mode, b.since_epoch, b.since_seq, b.last_seen_at,
                r.epoch AS applied_epoch, r.applied AS applied_seq, r.nacks, b.stale_admissions,
                CASE WHEN b.until_epoch IS NOT NULL THEN 'left'
                     WHEN b.last_seen_at < now() - make_interval(secs => 5 + t.lease_valid_ms / 1000.0) THEN 'silent'
                     ELSE 'live' END AS state
         FROM boot b JOIN tenant t ON t.id = b.tenant
         LEFT JOIN LATERAL (
           SELECT epoch, applied, nacks FROM receipt x WHERE x.tenant = b.tenant AND x.boot_id = b.boot_id
           ORDER BY epoch DESC, applied DESC LIMIT 1) r ON true
         WHERE b.tenant = $1 AND b.ep_id = ANY ($2)
           AND (b.until_epoch IS NULL OR coalesce(b.left_at, b.last_seen_at) > now() - interval '1 hour')
         ORDER BY b.created_at`,
      [tenant, ids],
    );
  }
}

/** By the database's clock, like every other time. A proof that has been seen proves nothing any more. */
async function useProof(manager: EntityManager, { tenant, proof }: Enrolment): Promise<boolean> {
  const rows = await manager.query<unknown[]>(
    `WITH used AS (
       INSERT INTO enrolment_proof (tenant, jti)
       SELECT $1, $2 WHERE abs(extract(epoch FROM clock_timestamp()) - $3::double precision) <= $4
       ON CONFLICT DO NOTHING RETURNING jti)
     SELECT jti FROM used`,
    [tenant, proof.jti, proof.iat, PROOF_SECONDS],
  );
  return rows.length > 0;
}

/** The guard lets no revoked key in; one that was killed as a subject of an order is found here. */
async function isKeyRevoked(
  manager: EntityManager,
  { tenant, enrolmentKeyId }: Enrolment,
): Promise<boolean> {
  const rows = await manager.query<unknown[]>(
    `SELECT 1 FROM suspension WHERE tenant = $1 AND subject = $2 AND lifted_at IS NULL
     UNION ALL SELECT 1 FROM enrolment_key WHERE tenant = $1 AND id = $3 AND revoked_at IS NOT NULL`,
    [tenant, `enrolment_key:${enrolmentKeyId}`, enrolmentKeyId],
  );
  return rows.length > 0;
}

/** Nobody proves that it holds a user's seed, so a user that another has is not given out again: its end would be theirs. */
async function takeUser(
  manager: EntityManager,
  id: string,
  { tenant, request }: Enrolment,
): Promise<boolean> {
  await manager.query(
    `INSERT INTO broker_user (nats_public_key, tenant, ep_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
    [request.nats_public_key, tenant, id],
  );
  const rows = await manager.query<unknown[]>(
    `SELECT 1 FROM broker_user WHERE nats_public_key = $1 AND tenant = $2 AND ep_id = $3`,
    [request.nats_public_key, tenant, id],
  );
  return rows.length > 0;
}

/** What was issued for the enrolment that is being replaced is dead, also where the new one keeps the same user. */
async function endUser(manager: EntityManager, known: Known): Promise<void> {
  await manager.query(`UPDATE broker_user SET revoked_through = $2 WHERE nats_public_key = $1`, [
    known.nats_public_key,
    known.user_issued_at,
  ]);
}

async function write(manager: EntityManager, id: string, enrolment: Enrolment): Promise<number> {
  const { tenant, request, kid, accessKeyHash, enrolmentKeyId } = enrolment;
  const { kty, crv, x } = request.public_key;
  const publicJwk: PublicJwk = { kty, crv, x };
  const [row] = await manager.query<{ user_issued_at: string }[]>(
    `INSERT INTO enforcement_point AS e (tenant, id, name, mode, abort, kid, public_jwk, nats_public_key, access_key_hash,
                                    lease_key_sealed, enrolment_key_id)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
     ON CONFLICT (tenant, id) DO UPDATE SET name = excluded.name, mode = excluded.mode, abort = excluded.abort,
       nats_public_key = excluded.nats_public_key, access_key_hash = excluded.access_key_hash,
       lease_key_sealed = excluded.lease_key_sealed, enrolment_key_id = excluded.enrolment_key_id,
       user_issued_at = greatest(excluded.user_issued_at, e.user_issued_at + 1)
     RETURNING user_issued_at`,
    [
      tenant,
      id,
      request.name,
      request.mode,
      request.abort,
      kid,
      publicJwk,
      request.nats_public_key,
      accessKeyHash,
      enrolment.seal(id),
      enrolmentKeyId,
    ],
  );
  return Number(row?.user_issued_at);
}
