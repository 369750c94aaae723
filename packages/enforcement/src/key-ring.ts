import { calculateJwkThumbprint, type JWK_OKP_Public } from 'jose';
import type { PublicJwk } from '@sever/protocol';

/**
 * Public keys of one purpose, by their RFC 7638 thumbprint. A dead key stays dead, whatever later message calls it
 * live, so neither a replay nor a reordering brings it back.
 */
export class KeyRing {
  private readonly keys = new Map<string, JWK_OKP_Public>();
  private readonly dead = new Set<string>();

  get(kid: string): JWK_OKP_Public | undefined {
    return this.keys.get(kid);
  }

  has(kid: string): boolean {
    return this.keys.has(kid);
  }

  set(kid: string, { kty, crv, x }: PublicJwk): void {
    // One object for the life of the key: the imported form is kept beside it.
    if (!this.dead.has(kid) && !this.keys.has(kid)) this.keys.set(kid, { kty, crv, x });
  }

  kill(kid: string): void {
    this.dead.add(kid);
    this.keys.delete(kid);
  }

  /** What a restart needs to know again; also the dead, which no list of living keys names. */
  contents(): { readonly live: PublicJwk[]; readonly dead: string[] } {
    const live = [...this.keys.values()].map(
      ({ x }) => ({ kty: 'OKP', crv: 'Ed25519', x }) as const,
    );
    return { live, dead: [...this.dead] };
  }

  /** Keys as enrolment gives them; `kid` is computed, not believed. */
  async pin(jwks: readonly PublicJwk[]): Promise<void> {
    for (const jwk of jwks) {
      const { kty, crv, x } = jwk;
      this.set(await calculateJwkThumbprint({ kty, crv, x }), jwk);
    }
  }
}
