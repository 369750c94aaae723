import { calculateJwkThumbprint } from 'jose';
import type { PublicJwk } from '@sever/protocol';

/**
 * Public keys of one purpose, by their RFC 7638 thumbprint. A dead key stays dead, whatever later message calls it
 * live, so neither a replay nor a reordering brings it back.
 */
export class KeyRing {
  private readonly keys = new Map<string, PublicJwk>();
  private readonly dead = new Set<string>();

  get(kid: string): PublicJwk | undefined {
    return this.keys.get(kid);
  }

  has(kid: string): boolean {
    return this.keys.has(kid);
  }

  set(kid: string, jwk: PublicJwk): void {
    if (!this.dead.has(kid)) this.keys.set(kid, jwk);
  }

  kill(kid: string): void {
    this.dead.add(kid);
    this.keys.delete(kid);
  }

  /** Keys as enrolment gives them; `kid` is computed, not believed. */
  async pin(jwks: readonly PublicJwk[]): Promise<void> {
    for (const jwk of jwks) {
      const { kty, crv, x } = jwk;
      this.set(await calculateJwkThumbprint({ kty, crv, x }), jwk);
    }
  }
}
