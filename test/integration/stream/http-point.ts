import { randomBytes, randomUUID, createHash } from 'node:crypto';
import { createUser } from '@nats-io/nkeys';
import {
  ENROLMENT_PROOF_TYP,
  Entry,
  EnrolReply,
  LeaseReply,
  newId,
  RangeReply,
  SnapshotManifest,
  StreamPage,
  typOf,
} from '@sever/protocol';
import { compactVerify, importJWK, type CryptoKey, type JWK } from 'jose';
import { newKeys, sign } from './hand-driven-point';

export interface HttpReply {
  status: number;
  type: string;
  bytes: Buffer;
  body: Record<string, unknown>;
}

/** An enforcement point that a test drives request by request, over HTTP alone. */
export class HttpPoint {
  readonly bootId = newId('boot');
  epoch = 0;
  applied = 0;
  digest = '';

  private constructor(
    private readonly url: string,
    readonly enrolled: EnrolReply,
    private readonly key: CryptoKey,
  ) {}

  /** @param enrolmentKey decides the tenant */
  static async enrol(url: string, enrolmentKey: string, name: string): Promise<HttpPoint> {
    const { privateKey, publicJwk } = await newKeys();
    const { kty, crv, x } = publicJwk;
    const natsKey = createUser().getPublicKey();
    const claims = { name, nats_public_key: natsKey, iat: now(), jti: randomUUID() };
    const response = await fetch(`${url}/v1/enforcement-points`, {
      method: 'POST',
      headers: { authorization: `Bearer ${enrolmentKey}`, 'content-type': 'application/json' },
      body: JSON.stringify({
        ...{ name, mode: 'strict', abort: 'none', nats_public_key: natsKey },
        public_key: { kty, crv, x },
        proof: await sign(privateKey, ENROLMENT_PROOF_TYP, claims),
      }),
    });
    return new HttpPoint(url, EnrolReply.parse(await response.json()), privateKey);
  }

  get id(): string {
    return this.enrolled.id;
  }

  async call(
    path: string,
    body?: object | string,
    { key = this.enrolled.access_key, type }: { key?: string; type?: string } = {},
  ): Promise<HttpReply> {
    const usual = typeof body === 'string' ? 'application/jose' : 'application/json';
    const response = await fetch(`${this.url}/v1/stream${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        authorization: `Bearer ${key}`,
        ...(body !== undefined && { 'content-type': type ?? usual }),
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    });
    const bytes = Buffer.from(await response.arrayBuffer());
    const contentType = response.headers.get('content-type') ?? '';
    const isJson = contentType.includes('json') && !contentType.includes('ndjson');
    return {
      status: response.status,
      type: contentType,
      bytes,
      body: isJson ? (JSON.parse(bytes.toString()) as Record<string, unknown>) : {},
    };
  }

  async listen(query: Record<string, string>): Promise<StreamPage> {
    const reply = await this.call(`?${new URLSearchParams(query).toString()}`);
    expect(reply.status).toBe(200);
    return StreamPage.parse(reply.body);
  }

  async snapshotRequest(more: object = {}): Promise<string> {
    return this.sign('snapshot-request', {
      ...{ ep: this.id, boot_id: this.bootId, nonce: nonce(), mode: 'strict', abort: 'none' },
      ...more,
    });
  }

  /** Checks the signature and each chunk's hash, and takes the snapshot's place as its own. */
  async take(reply: HttpReply): Promise<{ manifest: SnapshotManifest; chunks: Buffer[] }> {
    expect([reply.status, reply.type]).toEqual([200, 'application/x-ndjson']);
    const lines = reply.bytes.toString('latin1').split('\n');
    expect(lines.pop()).toBe('');
    const [first = '', ...rest] = lines;
    const manifest = SnapshotManifest.parse(await this.verified(first, typOf('snapshot')));
    const chunks = rest.map((line) => Buffer.from(line, 'latin1'));
    expect(chunks.map(sha256)).toEqual(manifest.chunks);
    this.epoch = manifest.epoch;
    this.applied = manifest.seq;
    this.digest = manifest.digest;
    return { manifest, chunks };
  }

  async enter(): Promise<SnapshotManifest> {
    return (await this.take(await this.call('/snapshot', await this.snapshotRequest()))).manifest;
  }

  /** Applies the entries of a page, which must follow from what it has. */
  async apply(page: StreamPage): Promise<Entry[]> {
    const entries: Entry[] = [];
    for (const jws of page.entries) {
      const entry = Entry.parse(await this.verified(jws, typOf('entry')));
      expect([entry.epoch, entry.seq, entry.digest]).toEqual([
        ...[this.epoch, this.applied + 1],
        this.digest,
      ]);
      const hash = createHash('sha256').update(Buffer.from(jws.split('.')[1] ?? '', 'base64url'));
      this.digest = createHash('sha256')
        .update(Buffer.from(this.digest, 'base64url'))
        .update(hash.digest())
        .digest('base64url');
      this.applied = entry.seq;
      entries.push(entry);
    }
    return entries;
  }

  async lease(more: object = {}): Promise<LeaseReply> {
    const reply = await this.call('/lease', { ...this.leaseRequest(), ...more });
    expect([reply.status, reply.type]).toEqual([200, 'application/jose']);
    const key = Buffer.from(this.enrolled.lease_key, 'base64url');
    const { payload } = await compactVerify(reply.bytes.toString(), key, { algorithms: ['HS256'] });
    return LeaseReply.parse(JSON.parse(Buffer.from(payload).toString()));
  }

  leaseRequest(): Record<string, unknown> {
    return {
      ...{ type: 'lease-request', v: 1, nonce: nonce(), boot_id: this.bootId, mode: 'strict' },
      ...{ epoch: this.epoch, applied: this.applied, digest: this.digest },
    };
  }

  async range(from: number, to: number): Promise<RangeReply> {
    const asked = { type: 'range-request', v: 1, epoch: this.epoch, from, to };
    const reply = await this.call('/range', asked);
    return RangeReply.parse(reply.body);
  }

  receipt(more: object = {}): Promise<string> {
    return this.sign('receipt', {
      ...{ ep: this.id, boot_id: this.bootId, epoch: this.epoch, applied: this.applied },
      ...{ held_ms: 0, in_flight: {}, nacks: [], digest: this.digest },
      ...more,
    });
  }

  sign(type: string, body: object): Promise<string> {
    const { tenant } = this.enrolled;
    return sign(this.key, typOf(type), { type, v: 1, tenant, ...body });
  }

  async verified(jws: string, typ: string): Promise<unknown> {
    const [jwk] = this.enrolled.stream_keys;
    const key = await importJWK(jwk as JWK, 'EdDSA');
    const { payload, protectedHeader } = await compactVerify(jws, key);
    expect(protectedHeader.typ).toBe(typ);
    return JSON.parse(Buffer.from(payload).toString());
  }
}

function now(): number {
  return Math.floor(Date.now() / 1_000);
}

function nonce(): string {
  return randomBytes(16).toString('base64url');
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('base64url');
}
