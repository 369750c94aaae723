import { Injectable } from '@nestjs/common';
import type { KeyPrincipal } from './principal';
import { hashSecretKey, newSecretKey } from './secret-keys';

/**
 * Keys that this process lends to itself, to use its own API as anybody else does. They are in no database, work in this
 * process alone, and end with what they were lent for.
 */
@Injectable()
export class LentKeys {
  private readonly lent = new Map<string, KeyPrincipal>();

  lend(principal: Omit<KeyPrincipal, 'kind' | 'keyId'>): { key: string; end: () => void } {
    const key = newSecretKey('api');
    const hash = nameOf(hashSecretKey(key));
    this.lent.set(hash, { ...principal, kind: 'key', keyId: 'lent' });
    return { key, end: () => void this.lent.delete(hash) };
  }

  find(hash: Buffer): KeyPrincipal | undefined {
    return this.lent.size === 0 ? undefined : this.lent.get(nameOf(hash));
  }
}

function nameOf(hash: Buffer): string {
  return hash.toString('base64url');
}
