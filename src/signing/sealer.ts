import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';

const VERSION = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** Where a sealed value belongs; a value copied to another row does not open there. */
export interface Place {
  readonly tenant: string;
  readonly table: string;
  readonly id: string;
}

export class CannotOpenError extends Error {
  override readonly name = 'CannotOpenError';

  constructor({ table, id }: Place, options: ErrorOptions) {
    super(`${table} ${id} was sealed under another master key, or was changed`, options);
  }
}

/**
 * Seals secrets at rest with AES-256-GCM under the master key. Layout: version (1 byte), nonce (12), tag (16),
 * ciphertext; the place is authenticated beside it.
 */
export class Sealer {
  /** @param masterKey 32 bytes */
  constructor(private readonly masterKey: Uint8Array) {
    if (masterKey.length !== 32) throw new RangeError('the master key must be 32 bytes');
  }

  /** A key for another purpose than sealing, from the same master key (HKDF-SHA-256, RFC 5869); every replica has it. */
  derivedKey(purpose: string): Uint8Array {
    return new Uint8Array(hkdfSync('sha256', this.masterKey, '', `sever ${purpose}`, 32));
  }

  seal(plain: Uint8Array, place: Place): Buffer {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv('aes-256-gcm', this.masterKey, nonce).setAAD(aad(place));
    const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
    return Buffer.concat([Buffer.of(VERSION), nonce, cipher.getAuthTag(), sealed]);
  }

  /** @throws CannotOpenError when the value was sealed under another key, for another place, or was changed. */
  open(sealed: Buffer, place: Place): Buffer {
    if (sealed[0] !== VERSION)
      throw new Error(`sealed under version ${sealed[0]}, which is not known here`);
    const nonce = sealed.subarray(1, 1 + NONCE_BYTES);
    const tag = sealed.subarray(1 + NONCE_BYTES, 1 + NONCE_BYTES + TAG_BYTES);
    const decipher = createDecipheriv('aes-256-gcm', this.masterKey, nonce)
      .setAAD(aad(place))
      .setAuthTag(tag);
    try {
      return Buffer.concat([
        decipher.update(sealed.subarray(1 + NONCE_BYTES + TAG_BYTES)),
        decipher.final(),
      ]);
    } catch (error) {
      throw new CannotOpenError(place, { cause: error });
    }
  }
}

function aad({ tenant, table, id }: Place): Buffer {
  return Buffer.from(JSON.stringify([tenant, table, id, VERSION]));
}
