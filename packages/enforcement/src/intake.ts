import { compactVerify, decodeProtectedHeader, type CompactVerifyGetKey } from 'jose';
import {
  Emergency,
  Entry,
  Halt,
  LEASE_TYP,
  LeaseReply,
  MAX_HALT_BYTES,
  MAX_HALT_MS,
  MAX_MESSAGE_BYTES,
  Pulse,
  RangeReply,
  Refusal,
  SnapshotManifest,
  typOf,
} from '@sever/protocol';
import type { KeyRing } from './key-ring';
import type { SignedEntry, SignedHalt } from './machine-events';

/** A manifest lists up to 10,000 hashes, so it may be larger than other messages. */
const MAX_MANIFEST_BYTES = 1_024 * 1_024;
const decoder = new TextDecoder('utf-8', { fatal: true });

interface Schema<T> {
  safeParse(value: unknown): { success: true; data: T } | { success: false };
}

export interface IntakeOptions {
  readonly tenant: string;
  readonly ep: string;
  readonly streamKeys: KeyRing;
  readonly haltKeys: KeyRing;
  /** Key of this enforcement point's lease replies. */
  readonly leaseKey: Uint8Array;
}

/**
 * What stands between the wire and the machine: size, signature, `typ`, tenant and schema. A message that fails is
 * counted and dropped; it changes no decision and breaks nothing.
 */
export class Intake {
  /** Dropped messages by reason. */
  readonly rejected: Record<string, number> = {};

  constructor(private options: IntakeOptions) {}

  /** After enrolling again: the old key died with the old enrolment. */
  useLeaseKey(leaseKey: Uint8Array): void {
    this.options = { ...this.options, leaseKey };
  }

  async entry(line: string): Promise<SignedEntry | null> {
    const signed = await this.signed(line, 'entry', Entry);
    return signed && { entry: signed.message, payload: signed.payload, jws: line };
  }

  async pulse(bytes: Uint8Array): Promise<Pulse | null> {
    return (await this.signed(this.text(bytes), 'pulse', Pulse))?.message ?? null;
  }

  async emergency(bytes: Uint8Array): Promise<Emergency | null> {
    return (await this.signed(this.text(bytes), 'emergency', Emergency))?.message ?? null;
  }

  /** Is this, by what it says of itself, a halt? They come on the subject of emergencies. */
  saysHalt(jws: string): boolean {
    try {
      return decodeProtectedHeader(jws).typ === typOf('halt');
    } catch {
      return false;
    }
  }

  async halt(jws: string): Promise<SignedHalt | null> {
    const text = jws.trim();
    const signed = await this.signed(text, 'halt', Halt, MAX_HALT_BYTES, this.options.haltKeys);
    if (signed === null) return null;
    const { message: halt } = signed;
    if (halt.not_after - halt.issued_at > MAX_HALT_MS) return this.reject('halt_too_long');
    return { halt, jws: text, kid: decodeProtectedHeader(text).kid ?? '' };
  }

  async manifest(text: string): Promise<SnapshotManifest | null> {
    const signed = await this.signed(text, 'snapshot', SnapshotManifest, MAX_MANIFEST_BYTES);
    return signed?.message ?? null;
  }

  async lease(bytes: Uint8Array): Promise<LeaseReply | null> {
    const text = this.text(bytes);
    if (text === null) return null;
    const { leaseKey } = this.options;
    const signed = await this.verified(text, LEASE_TYP, 'HS256', () => leaseKey, LeaseReply);
    if (signed !== null && signed.message.ep !== this.options.ep) return this.reject('wrong_ep');
    return signed?.message ?? null;
  }

  /** Unsigned; each entry in it carries its own signature. */
  range(bytes: Uint8Array): RangeReply | null {
    return this.plain(bytes, RangeReply, 4 * MAX_MESSAGE_BYTES);
  }

  refusal(bytes: Uint8Array): Refusal | null {
    return this.plain(bytes, Refusal, MAX_MESSAGE_BYTES);
  }

  /** The bytes as text; `null` and counted when they are not UTF-8 or too many. */
  text(bytes: Uint8Array, max = MAX_MANIFEST_BYTES): string | null {
    if (bytes.byteLength > max) return this.reject('too_large');
    try {
      return decoder.decode(bytes);
    } catch {
      return this.reject('not_utf8');
    }
  }

  reject(reason: string): null {
    this.rejected[reason] = (this.rejected[reason] ?? 0) + 1;
    return null;
  }

  private plain<T>(bytes: Uint8Array, schema: Schema<T>, max: number): T | null {
    const text = this.text(bytes, max);
    return text === null ? null : this.parsed(text, schema);
  }

  private async signed<T extends { tenant: string }>(
    jws: string | null,
    type: string,
    schema: Schema<T>,
    max = MAX_MESSAGE_BYTES,
    keys = this.options.streamKeys,
  ): Promise<{ message: T; payload: Uint8Array } | null> {
    if (jws === null) return null;
    if (jws.length > max) return this.reject('too_large');
    const byKid: CompactVerifyGetKey = (header) => {
      const key = header.kid === undefined ? undefined : keys.get(header.kid);
      if (key === undefined) throw new Error('unknown key');
      return key;
    };
    return await this.verified(jws, typOf(type), 'EdDSA', byKid, schema);
  }

  private async verified<T extends { tenant: string }>(
    jws: string,
    typ: string,
    alg: 'EdDSA' | 'HS256',
    key: CompactVerifyGetKey,
    schema: Schema<T>,
  ): Promise<{ message: T; payload: Uint8Array } | null> {
    try {
      const { payload, protectedHeader } = await compactVerify(jws, key, { algorithms: [alg] });
      if (protectedHeader.typ !== typ) return this.reject('wrong_typ');
      const text = this.text(payload);
      const message = text === null ? null : this.parsed(text, schema);
      if (message === null) return null;
      if (message.tenant !== this.options.tenant) return this.reject('wrong_tenant');
      return { message, payload };
    } catch {
      return this.reject('bad_signature');
    }
  }

  private parsed<T>(text: string, schema: Schema<T>): T | null {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      return this.reject('not_json');
    }
    const result = schema.safeParse(value);
    return result.success ? result.data : this.reject('bad_schema');
  }
}
