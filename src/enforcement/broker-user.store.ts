import { Injectable } from '@nestjs/common';
import type { EntityManager } from 'typeorm';
import { UnitOfWork } from '../database/unit-of-work';

/** Held by whoever changes the broker's claims, over all replicas: of two that write at once one would be lost. */
const CLAIMS_LOCK = 7_400_002;

export interface DeadBrokerUsers {
  /** User public key → JWTs issued up to this second (since 1970) are dead. */
  readonly users: ReadonlyMap<string, number>;
  /** There are more, which have not yet had their time to hear that they are killed. */
  readonly more: boolean;
}

interface DeadRow {
  readonly nats_public_key: string;
  readonly through: string;
  readonly due: boolean;
}

/**
 * Replaced: at once. Killed: when each of its processes has confirmed the kill, or has had its time; cut off earlier, it
 * would never hear that it must refuse everything. $1: whether it has had a connection to hear by; $2: that time, ms.
 */
const DEAD = `
  SELECT nats_public_key, revoked_through AS through, true AS due FROM broker_user WHERE revoked_through IS NOT NULL
  UNION ALL
  SELECT e.nats_public_key, e.user_issued_at,
         ($1 AND e.revoked_at < clock_timestamp() - make_interval(secs => $2::double precision / 1000))
         OR NOT EXISTS (
           SELECT FROM boot b WHERE b.tenant = e.tenant AND b.ep_id = e.id AND b.left_at IS NULL
             AND NOT EXISTS (
               SELECT FROM receipt r WHERE r.tenant = b.tenant AND r.boot_id = b.boot_id
                 AND (r.epoch, r.applied) >= (b.until_epoch, b.until_seq)))
  FROM enforcement_point e WHERE e.revoked_at IS NOT NULL`;

/** Who must be dead at the broker. The whole of it follows from the database, so that every push is complete. */
@Injectable()
export class BrokerUserStore {
  constructor(private readonly work: UnitOfWork) {}

  async dead(couldHear: boolean, hearMs: number): Promise<DeadBrokerUsers> {
    return toDead(await this.work.querySystem<DeadRow>(DEAD, [couldHear, hearMs]));
  }

  /** @returns false if another replica is at it. `change` has a few seconds, and must not wait for the database. */
  async withClaims(
    couldHear: boolean,
    hearMs: number,
    change: (dead: DeadBrokerUsers) => Promise<void>,
  ): Promise<boolean> {
    return this.work.asSystem(async (manager: EntityManager) => {
      const [lock] = await manager.query<{ mine: boolean }[]>(
        `SELECT pg_try_advisory_xact_lock($1) AS mine`,
        [CLAIMS_LOCK],
      );
      if (!lock?.mine) return false;
      // Read under the lock: whatever the one before has pushed was committed before this reads.
      await change(toDead(await manager.query<DeadRow[]>(DEAD, [couldHear, hearMs])));
      return true;
    });
  }
}

function toDead(rows: readonly DeadRow[]): DeadBrokerUsers {
  const users = new Map<string, number>();
  for (const { nats_public_key: key, through, due } of rows)
    if (due) users.set(key, Math.max(Number(through), users.get(key) ?? 0));
  return { users, more: rows.some(({ due }) => !due) };
}
