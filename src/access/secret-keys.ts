import { createHash, randomBytes } from 'node:crypto';

/** Prefixes tell a leaked key's kind, and secret scanners what to look for. */
export const KEY_PREFIX = { api: 'sek_', enrolment: 'see_', access: 'sea_' } as const;

/** 256 random bits; only its hash is stored. */
export function newSecretKey(kind: keyof typeof KEY_PREFIX): string {
  return KEY_PREFIX[kind] + randomBytes(32).toString('base64url');
}

/** High entropy, so a plain hash is enough and the look-up is one index probe. */
export function hashSecretKey(key: string): Buffer {
  return createHash('sha256').update(key).digest();
}
