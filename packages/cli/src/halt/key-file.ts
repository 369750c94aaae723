import { readFile, writeFile } from 'node:fs/promises';
import {
  calculateJwkThumbprint,
  exportJWK,
  generateKeyPair,
  importJWK,
  type CryptoKey,
  type JWK,
} from 'jose';
import type { PublicJwk } from '@sever/protocol';
import { usageError } from '../usage-error';

export interface HaltKey {
  readonly kid: string;
  readonly privateKey: CryptoKey;
}

/**
 * Makes a halt key and writes its private half, mode 0600.
 *
 * @returns the public half, to be registered with the control plane
 * @throws CommanderError when the file exists already or cannot be written
 */
export async function makeHaltKey(file: string): Promise<PublicJwk> {
  const pair = await generateKeyPair('EdDSA', { crv: 'Ed25519', extractable: true });
  const { x, d } = await exportJWK(pair.privateKey);
  const publicKey = { kty: 'OKP', crv: 'Ed25519', x: x ?? '' } as const;
  const kid = await calculateJwkThumbprint(publicKey);
  await writeNew(file, `${JSON.stringify({ ...publicKey, kid, alg: 'EdDSA', use: 'sig', d })}\n`);
  return { ...publicKey, kid, alg: 'EdDSA', use: 'sig' };
}

/** @throws CommanderError when it cannot be read, or holds no such key */
export async function readHaltKey(file: string): Promise<HaltKey> {
  const text = await readText(file);
  try {
    const { kty, crv, x, d } = JSON.parse(text) as Record<string, string>;
    if (kty !== 'OKP' || crv !== 'Ed25519' || !x || !d) throw new Error('another kind of key');
    const kid = await calculateJwkThumbprint({ kty, crv, x });
    return { kid, privateKey: await importPrivate({ kty, crv, x, d }) };
  } catch {
    throw usageError(`${file} holds no private halt key; make one with: sever halt keygen --out`);
  }
}

async function importPrivate(jwk: JWK): Promise<CryptoKey> {
  const key = await importJWK(jwk, 'EdDSA');
  if (key instanceof Uint8Array) throw new Error('a symmetric key');
  return key;
}

/** @throws CommanderError */
export async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw usageError(`${file} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

/** Only its owner may read it, and nothing that is there already is replaced. @throws CommanderError */
export async function writeNew(file: string, text: string): Promise<void> {
  try {
    await writeFile(file, text, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw usageError(
      code === 'EEXIST'
        ? `${file} is there already; name a new file`
        : `${file} cannot be written (${code})`,
    );
  }
}
