import { ENTRY_SEPARATOR, MAX_MESSAGE_BYTES, typOf } from '@sever/protocol';
import { type SigningKeys } from '../signing/signing-keys';
import type { StoredEntry } from './stream.store';

const REMEMBERED = 20_000;
const ENTRY_TYP = typOf('entry');
/** Room for a reply's own members; each entry in it has two quotes and a comma. */
const OVERHEAD_BYTES = 512;

/** Signs entries, each once while it is remembered: a storm of range requests costs one signature an entry. */
export class SignedEntries {
  private readonly signed = new Map<
    string,
    { readonly payload: string; readonly signature: Promise<string> }
  >();

  constructor(private readonly keys: SigningKeys) {}

  of(tenant: string, epoch: number, entries: readonly StoredEntry[]): Promise<string[]> {
    return Promise.all(entries.map((entry) => this.one(tenant, epoch, entry)));
  }

  private one(tenant: string, epoch: number, { seq, payload }: StoredEntry): Promise<string> {
    const name = `${tenant}/${epoch}/${seq}`;
    const known = this.signed.get(name);
    // The payload too: of a database that went back unnoticed, one place may have been two entries.
    if (known?.payload === payload) return known.signature;
    const signature = this.keys.sign(tenant, 'stream', ENTRY_TYP, payload);
    signature.catch(() => this.signed.delete(name));
    // A change of keys that another replica committed: this one must not go on signing with a dead one.
    if (payload.includes('"op":"key"') || payload.includes('"op": "key"'))
      void signature.then(
        () => this.keys.forget(tenant),
        () => undefined,
      );
    this.signed.set(name, { payload, signature });
    if (this.signed.size > REMEMBERED) this.signed.delete(this.signed.keys().next().value ?? '');
    return signature;
  }
}

/** Consecutive entries as few messages as their size allows. */
export function packEntries(signed: readonly string[]): string[] {
  const messages: string[] = [];
  let open: string[] = [];
  let bytes = 0;
  for (const entry of signed) {
    if (open.length > 0 && bytes + entry.length + 1 > MAX_MESSAGE_BYTES) {
      messages.push(open.join(ENTRY_SEPARATOR));
      open = [];
      bytes = 0;
    }
    open.push(entry);
    bytes += entry.length + 1;
  }
  if (open.length > 0) messages.push(open.join(ENTRY_SEPARATOR));
  return messages;
}

/** The first of them, at least one, that fit into the JSON of one reply. */
export function asManyAsFit(signed: readonly string[]): string[] {
  let left = MAX_MESSAGE_BYTES - OVERHEAD_BYTES;
  const end = signed.findIndex((entry) => (left -= entry.length + 3) < 0);
  return end === -1 ? [...signed] : signed.slice(0, Math.max(1, end));
}
