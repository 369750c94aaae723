import { createSecretKey, type KeyObject } from 'node:crypto';
import { LEASE_TYP, type LeaseReply } from '@sever/protocol';
import { CompactSign } from 'jose';
import { type Sealer } from '../signing/sealer';

const REMEMBERED = 10_000;

/** Where an enforcement point's lease key is sealed. */
export function leaseKeyPlace(tenant: string, ep: string) {
  return { tenant, table: 'enforcement_point', id: ep };
}

/** Signs lease replies under the asker's own key: nobody else checks them, and an HMAC costs a tenth of a signature. */
export class LeaseSigner {
  private readonly keys = new Map<string, { sealed: Buffer; key: KeyObject }>();

  constructor(private readonly sealer: Sealer) {}

  async sign(sealedKey: Buffer, reply: LeaseReply): Promise<string> {
    return new CompactSign(Buffer.from(JSON.stringify(reply)))
      .setProtectedHeader({ alg: 'HS256', typ: LEASE_TYP })
      .sign(this.open(reply.tenant, reply.ep, sealedKey));
  }

  /** An enrolment replaces the key, so what is remembered counts only for the same sealed bytes. */
  private open(tenant: string, ep: string, sealed: Buffer): KeyObject {
    const name = `${tenant}/${ep}`;
    const known = this.keys.get(name);
    if (known?.sealed.equals(sealed)) return known.key;
    const key = createSecretKey(this.sealer.open(sealed, leaseKeyPlace(tenant, ep)));
    this.keys.set(name, { sealed, key });
    if (this.keys.size > REMEMBERED) this.keys.delete(this.keys.keys().next().value ?? '');
    return key;
  }
}
