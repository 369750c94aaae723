import type { Denial, Lineage } from '@sever/protocol';
import type { Allowed, Caller } from './types';

/** A token whose signature and claims have been verified once, with what each later call needs of it. */
export interface VerifiedToken {
  /** The whole token: a cache hit by signature counts only when all of it is equal. */
  readonly token: string;
  readonly kid: string;
  /** The token's lineage and the key that verified it. */
  readonly lineage: Lineage;
  readonly scopes: readonly string[];
  readonly caller: Caller;
  /** Milliseconds since the Unix epoch. */
  readonly expiresAtMs: number;
  /** Answers made once, because a hot path that allocates nothing needs them ready. */
  readonly allowed: Allowed;
  readonly allowedStale: Allowed;
  /** Version of the view at which `denial` was found; covers the lineage alone, never expiry, lease, tool or scope. */
  seenVersion: number;
  denial: Denial | null;
  /** At that version a suspension stood against it that takes some calls and leaves others. */
  isNarrowed: boolean;
}

/**
 * A verified token is found by the last characters of its signature: 16 bytes of an Ed25519 signature, which nobody can
 * choose, and a short key is hashed faster than a whole one. Compared is the whole token.
 */
const KEY_CHARACTERS = 22;

/**
 * Verified tokens. Two generations stand in for a strict least-recently-used order: a
 * hit in the old one moves to the young one, and when that is full the old one is forgotten whole.
 */
export class VerifiedTokens {
  private young = new Map<string, VerifiedToken>();
  private old = new Map<string, VerifiedToken>();

  constructor(private readonly capacity = 10_000) {}

  get size(): number {
    return this.young.size + this.old.size;
  }

  find(token: string): VerifiedToken | undefined {
    const key = token.slice(-KEY_CHARACTERS);
    let found = this.young.get(key);
    if (found === undefined) {
      found = this.old.get(key);
      if (found?.token === token) {
        this.old.delete(key);
        this.put(key, found);
      }
    }
    // The same signature under another header or payload is another token, and not a verified one.
    return found?.token === token ? found : undefined;
  }

  add(verified: VerifiedToken): void {
    this.put(verified.token.slice(-KEY_CHARACTERS), verified);
  }

  private put(key: string, verified: VerifiedToken): void {
    this.young.set(key, verified);
    if (this.young.size >= this.capacity / 2) {
      this.old = this.young;
      this.young = new Map();
    }
  }
}
