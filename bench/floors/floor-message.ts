import {
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  verify,
  type KeyObject,
} from 'node:crypto';

const SIGNATURE_BYTES = 64;

/** Signed messages of a given size, for floors: as many bytes as an entry of the stream, and one signature. */
export class FloorSigner {
  private readonly pair = generateKeyPairSync('ed25519');

  get publicKey(): string {
    return this.pair.publicKey.export({ format: 'pem', type: 'spki' }).toString();
  }

  /** `number` comes first, in four bytes, so that a reader knows which message it is. */
  message(number: number, bytes: number): Uint8Array {
    const body = randomBytes(Math.max(4, bytes - SIGNATURE_BYTES));
    body.writeUInt32BE(number);
    return Buffer.concat([body, sign(null, body, this.pair.privateKey)]);
  }
}

export function readKey(pem: string): KeyObject {
  return createPublicKey(pem);
}

export function numberOf(message: Uint8Array): number {
  return Buffer.from(message.buffer, message.byteOffset, 4).readUInt32BE();
}

export function isSigned(message: Uint8Array, key: KeyObject): boolean {
  const end = message.length - SIGNATURE_BYTES;
  return verify(null, message.subarray(0, end), key, message.subarray(end));
}
