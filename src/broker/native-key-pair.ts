import { createPrivateKey, sign, type KeyObject } from 'node:crypto';
import { fromSeed } from '@nats-io/nkeys';

export type KeyPair = ReturnType<typeof fromSeed>;

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
/** A seed's text holds two bytes of prefix, then the 32 of the key itself, then two of checksum. */
const PREFIX_BYTES = 2;
const KEY_BYTES = 32;
/** DER of a PKCS #8 Ed25519 private key, up to the key itself (RFC 8410). */
const PKCS8_HEADER = Buffer.from('302e020100300506032b657004220420', 'hex');

/**
 * A key pair whose signatures the platform makes. The library's own are made in JavaScript, a tenth of a second for
 * each JWT, during which nothing else runs: a fleet that enrols at once would hold up a kill.
 */
export function nativeKeyPair(seed: Uint8Array | string): KeyPair {
  const text = typeof seed === 'string' ? seed.trim() : new TextDecoder().decode(seed);
  const library = fromSeed(new TextEncoder().encode(text));
  const key = privateKeyOf(text);
  // The library derives both anew at each call, and asks for them often.
  const publicKey = once(() => library.getPublicKey());
  const privateKey = once(() => library.getPrivateKey());
  return {
    getPublicKey: publicKey,
    getPrivateKey: privateKey,
    getSeed: () => library.getSeed(),
    sign: (input) => sign(null, input, key),
    verify: (input, signature) => library.verify(input, signature),
    clear: () => library.clear(),
    seal: (input, recipient, nonce) => library.seal(input, recipient, nonce),
    open: (input, sender) => library.open(input, sender),
  };
}

function privateKeyOf(seed: string): KeyObject {
  const raw = decodeBase32(seed).subarray(PREFIX_BYTES, PREFIX_BYTES + KEY_BYTES);
  return createPrivateKey({
    key: Buffer.concat([PKCS8_HEADER, raw]),
    format: 'der',
    type: 'pkcs8',
  });
}

function decodeBase32(text: string): Buffer {
  const bytes: number[] = [];
  let bits = 0;
  let held = 0;
  for (const character of text) {
    held = (held << 5) | BASE32.indexOf(character);
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push((held >> bits) & 0xff);
    held &= (1 << bits) - 1;
  }
  return Buffer.from(bytes);
}

function once<T>(compute: () => T): () => T {
  let value: { of: T } | undefined;
  return () => (value ??= { of: compute() }).of;
}
