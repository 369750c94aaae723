import type { KnownOp, PublicJwk } from '@sever/protocol';

interface KeyRow {
  state: 'next' | 'live' | 'dead';
  readonly jwk: PublicJwk;
}

/** Token keys by their name, oldest first. */
export type KeyTable = Map<string, KeyRow>;
type KeyOp = Extract<KnownOp, { op: 'key' }>;

/** As a tenant is made: a key, and its heir. */
export function firstKeys(): KeyTable {
  const keys: KeyTable = new Map();
  keys.set('key_1', { state: 'live', jwk: jwkOf('key_1') });
  keys.set('key_2', { state: 'next', jwk: jwkOf('key_2') });
  return keys;
}

export function keyIn(keys: KeyTable, state: KeyRow['state']): string | undefined {
  for (const [kid, key] of keys) if (key.state === state) return kid;
  return undefined;
}

/** Announces an heir if there is none. */
export function announceKey(keys: KeyTable, kid: string): KeyOp | null {
  if (keyIn(keys, 'next') !== undefined) return null;
  keys.set(kid, { state: 'next', jwk: jwkOf(kid) });
  return { op: 'key', purpose: 'token', kid, state: 'next', jwk: jwkOf(kid) };
}

/** It signs nothing more: the one that was announced for this takes its place. */
export function retireKey(keys: KeyTable, kid: string): KeyOp[] {
  const dying = keys.get(kid);
  if (dying === undefined) return [];
  const wasLive = dying.state === 'live';
  dying.state = 'dead';
  const heir = keyIn(keys, 'next');
  const heirKey = heir === undefined ? undefined : keys.get(heir);
  if (!wasLive || heir === undefined || heirKey === undefined) return [];
  heirKey.state = 'live';
  return [{ op: 'key', purpose: 'token', kid: heir, state: 'live', jwk: heirKey.jwk }];
}

function jwkOf(kid: string): PublicJwk {
  return { kty: 'OKP', crv: 'Ed25519', x: kid.padEnd(43, '_'), kid };
}
