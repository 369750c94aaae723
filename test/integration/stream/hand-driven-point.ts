import { createHash, randomBytes } from 'node:crypto';
import {
  broadcastSubject,
  ENROLMENT_PROOF_TYP,
  ENTRY_SEPARATOR,
  Entry,
  EvidenceReply,
  inboxPrefix,
  LeaseReply,
  newId,
  Pulse,
  RangeReply,
  requestSubject,
  SnapshotChunk,
  SnapshotManifest,
  typOf,
  type EnrolReply,
  type EnrolRequest,
  type EpRequest,
  type SnapshotItem,
} from '@sever/protocol';
import { connect, jwtAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { createUser } from '@nats-io/nkeys';
import {
  compactVerify,
  CompactSign,
  exportJWK,
  generateKeyPair,
  importJWK,
  type CryptoKey,
  type JWK,
} from 'jose';
import type { Enrol } from '../../../src/enforcement/enrol';
import { eventually } from '../../support/eventually';

export type PointMode = 'strict' | 'best_effort';

interface PointOptions {
  name?: string;
  mode?: PointMode;
  abort?: 'stream' | 'signal' | 'none';
}

export interface ReceivedSnapshot {
  manifest: SnapshotManifest;
  items: SnapshotItem[];
}

export interface SaysOfItself {
  bootId?: string;
  epoch?: number;
  applied?: number;
  digest?: string;
  held_ms?: number;
  in_flight?: Record<string, { aborted: number; completed: number; uncontrolled: number }>;
  nacks?: { seq: number; error: string }[];
}

const ZERO = Buffer.alloc(32);

/**
 * An enforcement point's own keys and connection, driven message by message: it says what a test makes it say, true or
 * not, and remembers what it heard.
 */
export class HandDrivenPoint {
  /** Signed entries as they came, in order of arrival. */
  readonly heard: { jws: string; entry: Entry }[] = [];
  readonly pulses: Pulse[] = [];
  readonly messages: string[] = [];
  bootId = newId('boot');
  /** What it holds applied, and the proof of it. */
  epoch = 1;
  applied = 0;
  digest: Buffer = ZERO;

  private constructor(
    readonly keys: { privateKey: CryptoKey; publicJwk: JWK },
    readonly enrolled: EnrolReply,
    readonly nats: NatsConnection,
    readonly mode: PointMode,
    readonly abort: 'stream' | 'signal' | 'none',
  ) {}

  get id(): string {
    return this.enrolled.id;
  }

  get tenant(): string {
    return this.enrolled.tenant;
  }

  static async enrolRequest(
    options: PointOptions = {},
    keys?: { privateKey: CryptoKey; publicJwk: JWK },
  ) {
    const user = createUser();
    const own = keys ?? (await newKeys());
    const { name = 'a-point', mode = 'strict', abort = 'stream' } = options;
    const nats_public_key = user.getPublicKey();
    const proof = await sign(own.privateKey, ENROLMENT_PROOF_TYP, {
      ...{ name, nats_public_key },
      iat: Math.floor(Date.now() / 1_000),
      jti: randomBytes(12).toString('hex'),
    });
    const { kty, crv, x } = own.publicJwk;
    const public_key = { kty, crv, x } as EnrolRequest['public_key'];
    const request: EnrolRequest = { name, mode, abort, public_key, nats_public_key, proof };
    return { request, user, keys: own };
  }

  static async enrolWith(
    enrol: Enrol,
    tenant: string,
    options: PointOptions = {},
  ): Promise<HandDrivenPoint> {
    const { request, user, keys } = await HandDrivenPoint.enrolRequest(options);
    const caller = { kind: 'enroller', tenant, id: newId('enrolmentKey'), name: 'k' } as const;
    const { reply } = await enrol.enrol(caller, request);
    const nats = await connect({
      servers: reply.nats.urls,
      authenticator: jwtAuthenticator(reply.nats.jwt, user.getSeed()),
      inboxPrefix: inboxPrefix(tenant, reply.id),
      reconnectTimeWait: 50,
      maxReconnectAttempts: -1,
      ignoreAuthErrorAbort: true,
    });
    const point = new HandDrivenPoint(keys, reply, nats, request.mode, request.abort);
    point.listen();
    await nats.flush();
    return point;
  }

  async close(): Promise<void> {
    await this.nats.close();
  }

  restart(): void {
    this.bootId = newId('boot');
    this.applied = 0;
    this.digest = ZERO;
  }

  /** Asks for a snapshot and takes it. */
  async boot(more: { replaces?: string; mode?: PointMode; bootId?: string } = {}) {
    const answer = await this.askForSnapshot(more);
    if (!('manifest' in answer)) throw new Error(`no snapshot: ${JSON.stringify(answer)}`);
    this.epoch = answer.manifest.epoch;
    this.applied = answer.manifest.seq;
    this.digest = Buffer.from(answer.manifest.digest, 'base64url');
    return answer;
  }

  async askForSnapshot(
    more: { replaces?: string; mode?: PointMode; bootId?: string; ep?: string } = {},
  ): Promise<ReceivedSnapshot | { code: string }> {
    const nonce = randomBytes(16).toString('base64url');
    const request = await this.sign('snapshot-request', {
      ep: more.ep ?? this.id,
      boot_id: more.bootId ?? this.bootId,
      nonce,
      mode: more.mode ?? this.mode,
      abort: this.abort,
      ...(more.replaces === undefined ? {} : { replaces: more.replaces }),
    });
    const inbox = `${inboxPrefix(this.tenant, this.id)}.${randomBytes(8).toString('hex')}`;
    const parts: Uint8Array[] = [];
    const subscription = this.nats.subscribe(inbox, {
      callback: (_, message) => void parts.push(message.data),
    });
    try {
      this.nats.publish(requestSubject('snapshot', this.tenant, this.id), request, {
        reply: inbox,
      });
      await eventually(() => expect(parts.length).toBeGreaterThan(0));
      const first = Buffer.from(parts[0] as Uint8Array).toString();
      if (first.startsWith('{')) return JSON.parse(first) as { code: string };
      const manifest = SnapshotManifest.parse(await this.verified(first, typOf('snapshot')));
      await eventually(() => expect(parts).toHaveLength(1 + manifest.chunks.length));
      expect(manifest.nonce).toBe(nonce);
      const chunks = parts.slice(1);
      expect(chunks.map(sha256)).toEqual(manifest.chunks);
      const items = chunks.flatMap(
        (chunk) => SnapshotChunk.parse(JSON.parse(Buffer.from(chunk).toString())).items,
      );
      expect(items).toHaveLength(manifest.items);
      return { manifest, items };
    } finally {
      subscription.unsubscribe();
    }
  }

  /** Applies what it has heard in order, as far as it goes without a gap. */
  apply(): void {
    for (const { jws, entry } of this.heard)
      if (entry.epoch === this.epoch && entry.seq === this.applied + 1) {
        expect(entry.digest).toBe(this.digest.toString('base64url'));
        const payload = Buffer.from(jws.split('.')[1] as string, 'base64url');
        const hash = createHash('sha256').update(payload).digest();
        this.digest = createHash('sha256').update(this.digest).update(hash).digest();
        this.applied = entry.seq;
      }
  }

  async hears(seq: number): Promise<void> {
    await eventually(() => expect(this.heard.map(({ entry }) => entry.seq)).toContain(seq));
    this.apply();
  }

  async askForLease(more: SaysOfItself & { mode?: PointMode } = {}): Promise<LeaseReply> {
    const reply = await this.request('lease', {
      ...{ type: 'lease-request', v: 1 },
      nonce: randomBytes(16).toString('base64url'),
      boot_id: more.bootId ?? this.bootId,
      mode: more.mode ?? this.mode,
      epoch: more.epoch ?? this.epoch,
      applied: more.applied ?? this.applied,
      digest: more.digest ?? this.digest.toString('base64url'),
    });
    const key = Buffer.from(this.enrolled.lease_key, 'base64url');
    const { payload } = await compactVerify(reply, key, { algorithms: ['HS256'] });
    return LeaseReply.parse(JSON.parse(Buffer.from(payload).toString()));
  }

  async askForRange(from: number, to: number, epoch = this.epoch): Promise<RangeReply> {
    const reply = await this.request('range', { type: 'range-request', v: 1, epoch, from, to });
    return RangeReply.parse(JSON.parse(reply));
  }

  /** Shows what it says the control plane has signed. */
  async show(entries: readonly string[], manifest?: string): Promise<EvidenceReply> {
    const evidence = await this.sign('evidence', {
      ...{ ep: this.id, boot_id: this.bootId, epoch: this.epoch, applied: this.applied },
      ...{ entries, ...(manifest === undefined ? {} : { manifest }) },
    });
    const subject = requestSubject('evidence', this.tenant, this.id);
    const reply = await this.nats.request(subject, evidence, { timeout: 10_000 });
    return EvidenceReply.parse(JSON.parse(reply.string()));
  }

  async signReceipt(said: SaysOfItself = {}): Promise<string> {
    return this.sign('receipt', {
      ep: this.id,
      boot_id: said.bootId ?? this.bootId,
      epoch: said.epoch ?? this.epoch,
      applied: said.applied ?? this.applied,
      held_ms: said.held_ms ?? 0,
      in_flight: said.in_flight ?? {},
      nacks: said.nacks ?? [],
      digest: said.digest ?? this.digest.toString('base64url'),
    });
  }

  async sendReceipt(said: SaysOfItself = {}): Promise<void> {
    await this.send('receipt', await this.signReceipt(said));
  }

  async leave(): Promise<void> {
    const { id: ep, bootId: boot_id, epoch, applied } = this;
    await this.send('receipt', await this.sign('leave', { ep, boot_id, epoch, applied }));
  }

  async send(kind: EpRequest, text: string): Promise<void> {
    this.nats.publish(requestSubject(kind, this.tenant, this.id), text);
    await this.nats.flush();
  }

  async request(kind: EpRequest, body: object, reply?: string): Promise<string> {
    const subject = requestSubject(kind, this.tenant, this.id);
    const options = { timeout: 2_000, ...(reply ? { reply, noMux: true } : {}) };
    return (await this.nats.request(subject, JSON.stringify(body), options)).string();
  }

  sign(type: string, body: object): Promise<string> {
    return sign(this.keys.privateKey, typOf(type), { type, v: 1, tenant: this.tenant, ...body });
  }

  async verified(jws: string, typ: string): Promise<unknown> {
    const [jwk] = this.enrolled.stream_keys;
    const { payload, protectedHeader } = await compactVerify(
      jws,
      await importJWK(jwk as JWK, 'EdDSA'),
    );
    expect(protectedHeader.typ).toBe(typ);
    return JSON.parse(Buffer.from(payload).toString());
  }

  private listen(): void {
    this.nats.subscribe(broadcastSubject('stream', this.tenant), {
      callback: (_, message) => void this.onStream(message.string()),
    });
    this.nats.subscribe(broadcastSubject('pulse', this.tenant), {
      callback: (_, message) =>
        void this.verified(message.string(), typOf('pulse')).then((pulse) =>
          this.pulses.push(Pulse.parse(pulse)),
        ),
    });
  }

  private async onStream(text: string): Promise<void> {
    this.messages.push(text);
    for (const jws of text.split(ENTRY_SEPARATOR)) {
      const payload = Buffer.from(jws.split('.')[1] ?? '', 'base64url').toString();
      const entry = Entry.parse(JSON.parse(payload));
      this.heard.push({ jws, entry });
      expect(await this.verified(jws, typOf('entry'))).toEqual(entry);
    }
  }
}

export async function newKeys(): Promise<{ privateKey: CryptoKey; publicJwk: JWK }> {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519' });
  return { privateKey, publicJwk: await exportJWK(publicKey) };
}

export async function sign(key: CryptoKey, typ: string, body: object): Promise<string> {
  return new CompactSign(Buffer.from(JSON.stringify(body)))
    .setProtectedHeader({ alg: 'EdDSA', typ })
    .sign(key);
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('base64url');
}
