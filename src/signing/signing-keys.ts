import { Injectable } from '@nestjs/common';
import type { PublicJwk } from '@sever/protocol';
import {
  calculateJwkThumbprint,
  CompactSign,
  exportJWK,
  generateKeyPair,
  importJWK,
  type CryptoKey,
  type JWK,
} from 'jose';
import { isDatabaseAway, within } from '../database/reach';
import { UnitOfWork } from '../database/unit-of-work';
import { Sealer } from './sealer';

/** Tokens and the stream are signed by different keys, so that the loss of one is not the loss of both. */
export type KeyPurpose = 'token' | 'stream';

export interface SigningKey {
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly publicJwk: PublicJwk;
}

interface KeyRow {
  kid: string;
  state: string;
  public_jwk: PublicJwk;
  sealed: Buffer;
}

/** How long the public keys of a tenant are trusted to be the present ones. */
const CACHE_MS = 30_000;
const READ_WITHIN_MS = 1_000;
const ASK_AGAIN_MS = 5_000;

/** Ed25519 keys per tenant and purpose, sealed at rest; `kid` is the RFC 7638 thumbprint. */
@Injectable()
export class SigningKeys {
  private readonly live = new Map<string, Promise<SigningKey>>();
  private readonly public = new Map<string, { at: number; keys: Promise<PublicJwk[]> }>();
  /** What the database said last, for as long as it says nothing more. */
  private readonly lastKnown = new Map<string, PublicJwk[]>();

  constructor(
    private readonly work: UnitOfWork,
    private readonly sealer: Sealer,
  ) {}

  /** The key that signs now; made on first use, once, whichever replica comes first. */
  liveKey(tenant: string, purpose: KeyPurpose): Promise<SigningKey> {
    const name = `${tenant}/${purpose}`;
    let key = this.live.get(name);
    if (key === undefined) {
      key = this.readOrCreate(tenant, purpose);
      key.catch(() => this.live.delete(name));
      this.live.set(name, key);
    }
    return key;
  }

  /** Public keys that verifiers may meet: next, live and previous; the last known ones while the database is away. */
  publicKeys(tenant: string, purpose: KeyPurpose): Promise<PublicJwk[]> {
    const name = `${tenant}/${purpose}`;
    const cached = this.public.get(name);
    if (cached && performance.now() - cached.at < CACHE_MS) return cached.keys;
    const keys = this.work.forTenant(tenant, async (manager) => {
      const rows: KeyRow[] = await manager.query(
        `SELECT public_jwk FROM signing_key WHERE tenant = $1 AND purpose = $2 AND state <> 'dead' ORDER BY created_at`,
        [tenant, purpose],
      );
      // What does not exist is not remembered: the tenant may be one that a stranger's token made up.
      if (rows.length === 0) this.public.delete(name);
      const found = rows.map((row) => row.public_jwk);
      if (found.length > 0) this.lastKnown.set(name, found);
      return found;
    });
    const answer = within(READ_WITHIN_MS, keys).catch((error: unknown) => {
      this.public.delete(name);
      const known = this.lastKnown.get(name);
      if (known === undefined || !isDatabaseAway(error)) throw error;
      // Not asked again for each message: those who ask a silent database hold its connections.
      const at = performance.now() - CACHE_MS + ASK_AGAIN_MS;
      this.public.set(name, { at, keys: Promise.resolve(known) });
      return known;
    });
    this.public.set(name, { at: performance.now(), keys: answer });
    return answer;
  }

  /** Token keys of every tenant, for the public key set. */
  async allPublicTokenKeys(): Promise<PublicJwk[]> {
    const rows = await this.work.querySystem<KeyRow>(
      `SELECT public_jwk FROM signing_key WHERE purpose = 'token' AND state <> 'dead' ORDER BY created_at`,
    );
    return rows.map((row) => row.public_jwk);
  }

  /** The live key as the database says it is: a replica that did not see the former one's death hears of it here. */
  async liveKeyCalled(
    tenant: string,
    purpose: KeyPurpose,
    kid: string | null,
  ): Promise<SigningKey> {
    const known = await this.liveKey(tenant, purpose);
    if (kid === null || known.kid === kid) return known;
    this.forget(tenant);
    return this.liveKey(tenant, purpose);
  }

  /** A key of the tenant has come or gone: what is cached is read again when it is needed. */
  forget(tenant: string): void {
    for (const purpose of ['token', 'stream'] as const) {
      this.live.delete(`${tenant}/${purpose}`);
      this.public.delete(`${tenant}/${purpose}`);
    }
  }

  /** A new key pair, its private half sealed. It is nobody's until it is stored. */
  async make(tenant: string): Promise<{ kid: string; public_jwk: PublicJwk; sealed: Buffer }> {
    const { privateKey, publicKey } = await generateKeyPair('EdDSA', {
      crv: 'Ed25519',
      extractable: true,
    });
    const publicOnly = await exportJWK(publicKey);
    const kid = await calculateJwkThumbprint(publicOnly);
    const sealed = this.sealer.seal(Buffer.from(JSON.stringify(await exportJWK(privateKey))), {
      tenant,
      table: 'signing_key',
      id: kid,
    });
    const public_jwk = { ...publicOnly, kid, alg: 'EdDSA', use: 'sig' } as PublicJwk;
    return { kid, public_jwk, sealed };
  }

  /** One JWS Compact string over exactly these bytes (RFC 7515), EdDSA. */
  async sign(tenant: string, purpose: KeyPurpose, typ: string, payload: string): Promise<string> {
    const key = await this.liveKey(tenant, purpose);
    return new CompactSign(Buffer.from(payload))
      .setProtectedHeader({ alg: 'EdDSA', typ, kid: key.kid })
      .sign(key.privateKey);
  }

  private async readOrCreate(tenant: string, purpose: KeyPurpose): Promise<SigningKey> {
    const found = await this.readLive(tenant, purpose);
    if (found) return found;
    // With an heir from the start, so that the key can be killed at any moment.
    for (const state of ['live', 'next']) {
      const { kid, public_jwk, sealed } = await this.make(tenant);
      await this.work.query(
        tenant,
        `INSERT INTO signing_key (tenant, kid, purpose, state, public_jwk, sealed)
         SELECT $1, $2, $3, $4, $5, $6
         WHERE NOT EXISTS (SELECT FROM signing_key WHERE tenant = $1 AND purpose = $3 AND state = $4)
         ON CONFLICT DO NOTHING`,
        [tenant, kid, purpose, state, public_jwk, sealed],
      );
    }
    // Another replica may have been first: what stands in the database is what all of them use.
    const stored = await this.readLive(tenant, purpose);
    if (!stored) throw new Error(`no live ${purpose} key for ${tenant} after creating one`);
    return stored;
  }

  private async readLive(tenant: string, purpose: KeyPurpose): Promise<SigningKey | null> {
    const [row] = await this.work.query<KeyRow>(
      tenant,
      `SELECT kid, state, public_jwk, sealed FROM signing_key WHERE tenant = $1 AND purpose = $2 AND state = 'live'`,
      [tenant, purpose],
    );
    if (!row) return null;
    const jwk = JSON.parse(
      this.sealer.open(row.sealed, { tenant, table: 'signing_key', id: row.kid }).toString(),
    ) as JWK;
    return {
      kid: row.kid,
      privateKey: (await importJWK(jwk, 'EdDSA')) as CryptoKey,
      publicJwk: row.public_jwk,
    };
  }
}
