import { Injectable } from '@nestjs/common';
import { newId, ProblemError, type CreateHaltKey, type PublicJwk } from '@sever/protocol';
import { calculateJwkThumbprint } from 'jose';
import { UnitOfWork } from '../database/unit-of-work';
import { actorOf } from './actor';
import type { Page } from './key.store';
import type { KeyPrincipal } from './principal';

export interface HaltKeyRow {
  readonly id: string;
  readonly name: string;
  readonly kid: string;
  readonly public_jwk: PublicJwk;
  readonly created_at: Date;
  readonly revoked_at: Date | null;
}

type Answer = { readonly id: string } | { readonly present: string } | { readonly problem: string };

const COLUMNS = 'id, name, kid, public_jwk, created_at, revoked_at';

/** Public halves of the keys that sign halts. Enforcement points learn them in the stream, snapshots and enrolment. */
@Injectable()
export class HaltKeyStore {
  constructor(private readonly work: UnitOfWork) {}

  /**
   * The same public key again is the same key.
   *
   * @throws ProblemError `unprocessable` for one that was removed: enforcement points have buried it
   */
  async create(by: KeyPrincipal, { name, public_key }: CreateHaltKey): Promise<HaltKeyRow> {
    const { kty, crv, x } = public_key;
    const kid = await calculateJwkThumbprint({ kty, crv, x });
    const public_jwk = { kty, crv, x, kid, alg: 'EdDSA', use: 'sig' };
    const answer = await this.change(by, { id: newId('haltKey'), name, kid, public_jwk });
    if ('problem' in answer)
      throw new ProblemError(
        'unprocessable',
        'public_key: this key was registered before and removed; make a new pair with `sever halt keygen`.',
      );
    const id = 'present' in answer ? answer.present : answer.id;
    const [row] = await this.work.query<HaltKeyRow>(
      by.tenant,
      `SELECT ${COLUMNS} FROM halt_key WHERE tenant = $1 AND id = $2`,
      [by.tenant, id],
    );
    return row as HaltKeyRow;
  }

  /** Ends a key now; halts that enforcement points have taken already stand. @throws ProblemError `not_found` */
  async revoke(by: KeyPrincipal, id: string): Promise<void> {
    const answer = await this.change(by, { id, revoke: true });
    if ('problem' in answer) throw new ProblemError('not_found', `There is no halt key ${id}.`);
  }

  async list(tenant: string, { limit, after }: Page): Promise<HaltKeyRow[]> {
    return this.work.query<HaltKeyRow>(
      tenant,
      `SELECT ${COLUMNS} FROM halt_key WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3`,
      [tenant, after ?? '', limit],
    );
  }

  /** Those whose halts count. */
  async publicKeys(tenant: string): Promise<PublicJwk[]> {
    const rows = await this.work.query<HaltKeyRow>(
      tenant,
      `SELECT public_jwk FROM halt_key WHERE tenant = $1 AND revoked_at IS NULL ORDER BY id`,
      [tenant],
    );
    return rows.map(({ public_jwk }) => public_jwk);
  }

  async byKid(tenant: string, kid: string): Promise<HaltKeyRow | undefined> {
    const [row] = await this.work.query<HaltKeyRow>(
      tenant,
      `SELECT ${COLUMNS} FROM halt_key WHERE tenant = $1 AND kid = $2`,
      [tenant, kid],
    );
    return row;
  }

  private async change(by: KeyPrincipal, change: object): Promise<Answer> {
    const p = { ...change, actor: actorOf(by), audit_id: newId('audit') };
    const [row] = await this.work.call<{ answer: Answer }>(
      'SELECT sever_halt_key($1, $2) AS answer',
      [by.tenant, JSON.stringify(p)],
    );
    return (row as { answer: Answer }).answer;
  }
}
