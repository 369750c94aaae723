import { fromPublic } from '@nats-io/nkeys';

/** Is this the public NKey of a user, checksum and all? For another the broker would never take a JWT. */
export function isUserKey(key: string): boolean {
  try {
    return key.startsWith('U') && fromPublic(key).getPublicKey() === key;
  } catch {
    return false;
  }
}
