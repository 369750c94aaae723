import { createHash } from 'node:crypto';
import { Entry } from '@sever/protocol';

/** The chain's value after an entry, base64url, from the value before it that the entry itself carries. */
export function digestAfter(payload: string): string {
  const { digest } = JSON.parse(payload) as { digest: string };
  return createHash('sha256')
    .update(Buffer.from(digest, 'base64url'))
    .update(createHash('sha256').update(payload).digest())
    .digest('base64url');
}

export interface ReadEntry {
  readonly jws: string;
  /** Byte for byte as it was signed. */
  readonly payload: string;
  readonly entry: Entry;
}

/** What a signed entry of this tenant says, unverified; `null` when it is none. */
export function readEntry(tenant: string, jws: string): ReadEntry | null {
  try {
    const bytes = Buffer.from(jws.split('.')[1] ?? '', 'base64url');
    const payload = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    const entry = Entry.parse(JSON.parse(payload));
    return entry.tenant === tenant ? { jws, payload, entry } : null;
  } catch {
    return null;
  }
}
