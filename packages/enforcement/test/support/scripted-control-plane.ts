import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { parseCreds } from '@nats-io/jwt';
import {
  connect,
  credsAuthenticator,
  type Msg,
  type NatsConnection,
} from '@nats-io/transport-node';
import {
  calculateJwkThumbprint,
  CompactSign,
  compactVerify,
  decodeProtectedHeader,
  exportJWK,
  generateKeyPair,
  SignJWT,
  type CryptoKey,
} from 'jose';
import {
  allRequests,
  broadcastSubject,
  epPermissions,
  FLOOR_KEEP_MS,
  LEASE_TYP,
  newId,
  requestSender,
  typOf,
  type EnrolReply,
  type EnrolRequest,
  type KnownOp,
  type LeaseGrant,
  type LeaseRequest,
  type Leave,
  type PublicJwk,
  type RangeRequest,
  type Receipt,
  type SnapshotItem,
  type SnapshotRequest,
} from '@sever/protocol';
import { mintUserJwt } from '../../../../src/broker/operator';
import { startTestBroker, type TestBroker } from '../../../../test/support/broker';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

interface KeyPair {
  kid: string;
  privateKey: CryptoKey;
  jwk: PublicJwk;
}

export async function newKeyPair(): Promise<KeyPair> {
  const { publicKey, privateKey } = await generateKeyPair('EdDSA', {
    crv: 'Ed25519',
    extractable: true,
  });
  const { x } = await exportJWK(publicKey);
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: x ?? '' } as const;
  return { kid: await calculateJwkThumbprint(jwk), privateKey, jwk };
}

export async function signJws(key: KeyPair, typ: string, claims: object): Promise<string> {
  return await new CompactSign(encoder.encode(JSON.stringify(claims)))
    .setProtectedHeader({ alg: 'EdDSA', typ, kid: key.kid })
    .sign(key.privateKey);
}

/** What one agent's token is made of; `lineage` is the root's path down to the agent. */
export interface AgentToken {
  token: string;
  agent: string;
  credential: string;
}

/**
 * The control plane's side of the protocol, by script: it signs real messages over a real broker, and a test tells it
 * what to withhold, repeat or falsify.
 */
export class ScriptedControlPlane {
  readonly tenant = newId('tenant');
  readonly issuer = 'https://sever.test';
  readonly initiator = newId('initiator');
  readonly receipts: Receipt[] = [];
  readonly leaves: Leave[] = [];
  readonly snapshotRequests: SnapshotRequest[] = [];
  readonly rangeRequests: RangeRequest[] = [];
  readonly leaseReplies: Uint8Array[] = [];
  readonly pulses: Uint8Array[] = [];
  // The script.
  validMs = 2_000;
  answerLeases = true;
  answerSnapshots = true;
  pulsing = true;
  tamperChunk: ((chunk: Buffer) => Buffer) | null = null;
  replaceLease: ((reply: Uint8Array) => Uint8Array) | null = null;
  enrolments = 0;
  url = '';

  private readonly epoch = 1;
  private readonly entries: { jws: string; payload: Uint8Array }[] = [];
  private digest: Buffer = Buffer.alloc(32);
  private readonly items: SnapshotItem[] = [];
  private readonly eps = new Map<string, { leaseKey: Buffer; accessKey: string; jwt: string }>();
  private readonly idOfKey = new Map<string, string>();
  private pulseCount = 0;
  private timer: NodeJS.Timeout | undefined;

  private constructor(
    readonly broker: TestBroker,
    readonly nats: NatsConnection,
    private readonly accountSeed: string,
    private readonly server: Server,
    readonly streamKey: KeyPair,
    readonly tokenKey: KeyPair,
    readonly haltKey: KeyPair,
  ) {}

  static async start(): Promise<ScriptedControlPlane> {
    const broker = await startTestBroker();
    const creds = readFileSync(broker.credsFile);
    await parseCreds(creds);
    const nats = await connect({
      servers: broker.url,
      authenticator: credsAuthenticator(creds),
      maxReconnectAttempts: -1,
      reconnectTimeWait: 50,
      pingInterval: 60_000,
    });
    const seed = readFileSync(broker.accountSeedFile, 'utf8').trim();
    const server = createServer();
    const keys = [await newKeyPair(), await newKeyPair(), await newKeyPair()] as const;
    const plane = new ScriptedControlPlane(broker, nats, seed, server, ...keys);
    await plane.listen();
    return plane;
  }

  get head(): number {
    return this.entries.length;
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.nats.close();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    await this.broker.stop();
  }

  /** Back to answering everything truthfully. */
  behave(): void {
    this.validMs = 2_000;
    this.answerLeases = this.answerSnapshots = this.pulsing = true;
    this.tamperChunk = this.replaceLease = null;
  }

  async token(
    ancestors: string[] = [],
    options: { scope?: string; seconds?: number } = {},
  ): Promise<AgentToken> {
    const agent = newId('agent');
    const credential = newId('credential');
    const now = Math.floor(Date.now() / 1_000);
    const lin = [
      [`tenant:${this.tenant}`, 1],
      [`initiator:${this.initiator}`, 1],
      ...[...ancestors, agent].map((id) => [`agent:${id}`, 1]),
      [`credential:${credential}`, 1],
    ];
    const token = await new SignJWT({ tid: this.tenant, scope: options.scope ?? 'tool:*', lin })
      .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid: this.tokenKey.kid })
      .setIssuer(this.issuer)
      .setAudience('sever')
      .setSubject(agent)
      .setJti(credential)
      .setIssuedAt(now)
      .setExpirationTime(now + (options.seconds ?? 600))
      .sign(this.tokenKey.privateKey);
    return { token, agent, credential };
  }

  /** Commits an entry; published unless the broker is to lose it. */
  async append(op: KnownOp | { op: string; subject?: string }, killId = newId('kill')) {
    const payload = encoder.encode(
      JSON.stringify({
        type: 'entry',
        v: 1,
        tenant: this.tenant,
        epoch: this.epoch,
        seq: this.head + 1,
        op,
        kill_id: killId,
        digest: this.digest.toString('base64url'),
        at: Date.now(),
      }),
    );
    const jws = await new CompactSign(payload)
      .setProtectedHeader({ alg: 'EdDSA', typ: typOf('entry'), kid: this.streamKey.kid })
      .sign(this.streamKey.privateKey);
    this.entries.push({ jws, payload });
    this.digest = createHash('sha256')
      .update(this.digest)
      .update(createHash('sha256').update(payload).digest())
      .digest();
    if (op.op === 'floor' && 'generation' in op)
      this.items.push(['f', op.subject, op.generation, Date.now() + FLOOR_KEEP_MS, killId]);
    return { killId, jws, seq: this.head };
  }

  async kill(agent: string, options: { publish?: boolean } = {}) {
    const entry = await this.append({ op: 'floor', subject: `agent:${agent}`, generation: 2 });
    if (options.publish !== false) this.broadcast('stream', entry.jws);
    return entry;
  }

  broadcast(kind: 'stream' | 'pulse' | 'emergency', message: string | Uint8Array): void {
    if (!this.nats.isClosed()) this.nats.publish(broadcastSubject(kind, this.tenant), message);
  }

  receiptsFor(bootId: string): Receipt[] {
    return this.receipts.filter((receipt) => receipt.boot_id === bootId);
  }

  private async listen(): Promise<void> {
    this.server.on('request', (request, response) => {
      let body = '';
      request.on('data', (part: Buffer) => (body += part.toString()));
      request.on('end', () => {
        void this.rest(request.url ?? '', request.headers.authorization ?? '', body).then(
          ([status, reply]) => {
            response.writeHead(status, { 'content-type': 'application/json' });
            response.end(JSON.stringify(reply));
          },
        );
      });
    });
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
    this.answer('snapshot', (message) => this.onSnapshot(message));
    this.answer('range', async (message) => this.onRange(message));
    this.answer('lease', (message) => this.onLease(message));
    this.answer('receipt', async (message) => this.onReceipt(message));
    this.timer = setInterval(() => void this.pulse(), 100);
    await this.nats.flush();
  }

  private async rest(path: string, bearer: string, body: string): Promise<[number, object]> {
    if (path === '/v1/enforcement-points') {
      if (bearer !== 'Bearer enrol-me')
        return [403, { ...problem, status: 403, code: 'forbidden', detail: 'Ask for a key.' }];
      return [201, await this.enrol(JSON.parse(body) as EnrolRequest)];
    }
    const own = [...this.eps].find(([, { accessKey }]) => bearer === `Bearer ${accessKey}`);
    if (path !== '/v1/enforcement-points/self' || own === undefined)
      return [401, { ...problem, status: 401, code: 'unauthenticated', detail: 'Who?' }];
    return [200, { ...(await this.access(own[0], own[1].jwt)), name: 'x', mode: 'strict' }];
  }

  private async enrol(request: EnrolRequest): Promise<EnrolReply> {
    this.enrolments += 1;
    const { kty, crv, x } = request.public_key;
    await compactVerify(request.proof, { kty, crv, x });
    const id = this.idOfKey.get(x) ?? newId('enforcementPoint');
    this.idOfKey.set(x, id);
    const leaseKey = randomBytes(32);
    const accessKey = randomBytes(16).toString('hex');
    const jwt = await mintUserJwt({
      accountSeed: this.accountSeed,
      userPublicKey: request.nats_public_key,
      name: id,
      ...epPermissions(this.tenant, id),
    });
    this.eps.set(id, { leaseKey, accessKey, jwt });
    return {
      ...(await this.access(id, jwt)),
      enrolment_key_id: newId('enrolmentKey'),
      access_key: accessKey,
      lease_key: leaseKey.toString('base64url'),
    };
  }

  private async access(id: string, jwt: string) {
    return {
      id,
      tenant: this.tenant,
      nats: { urls: [this.broker.url], jwt },
      stream_keys: [this.streamKey.jwk],
      token_keys: [this.tokenKey.jwk],
      halt_keys: [this.haltKey.jwk],
      issuer: this.issuer,
    };
  }

  private answer(kind: 'snapshot' | 'range' | 'lease' | 'receipt', on: (m: Msg) => Promise<void>) {
    this.nats.subscribe(allRequests(kind), { callback: (_error, message) => void on(message) });
  }

  private async pulse(): Promise<void> {
    if (!this.pulsing) return;
    this.pulseCount += 1;
    const pulse = await signJws(this.streamKey, typOf('pulse'), {
      type: 'pulse',
      v: 1,
      tenant: this.tenant,
      epoch: this.epoch,
      head: this.head,
      source: 'replica-1',
      n: this.pulseCount,
      now: Date.now(),
      receipt_window_ms: 10,
    });
    this.pulses.push(encoder.encode(pulse));
    this.broadcast('pulse', pulse);
  }

  private async onSnapshot(message: Msg): Promise<void> {
    const request = payloadOf<SnapshotRequest>(message.string());
    this.snapshotRequests.push(request);
    if (!this.answerSnapshots || !message.reply) return;
    const items = [...this.items];
    const half = Math.ceil(items.length / 2);
    const parts = items.length === 0 ? [] : [items.slice(0, half), items.slice(half)];
    const chunks = parts.map((part, i) => Buffer.from(JSON.stringify({ i, items: part })));
    const manifest = await signJws(this.streamKey, typOf('snapshot'), {
      type: 'snapshot',
      v: 1,
      tenant: this.tenant,
      epoch: this.epoch,
      seq: this.head,
      boot_id: request.boot_id,
      nonce: request.nonce,
      digest: this.digest.toString('base64url'),
      chunks: chunks.map((chunk) => createHash('sha256').update(chunk).digest('base64url')),
      items: items.length,
      now: Date.now(),
    });
    this.nats.publish(message.reply, manifest);
    for (const chunk of chunks)
      this.nats.publish(message.reply, this.tamperChunk ? this.tamperChunk(chunk) : chunk);
  }

  private onRange(message: Msg): void {
    const request = JSON.parse(message.string()) as RangeRequest;
    this.rangeRequests.push(request);
    message.respond(
      JSON.stringify({
        type: 'range',
        v: 1,
        epoch: this.epoch,
        entries: this.entries.slice(request.from - 1, request.to).map(({ jws }) => jws),
        compacted: false,
      }),
    );
  }

  private async onLease(message: Msg): Promise<void> {
    const request = JSON.parse(message.string()) as LeaseRequest;
    const { ep } = requestSender(message.subject) ?? { ep: '' };
    const own = this.eps.get(ep);
    if (!this.answerLeases || own === undefined) return;
    const grant: LeaseGrant = {
      type: 'lease',
      v: 1,
      tenant: this.tenant,
      ep,
      boot_id: request.boot_id,
      nonce: request.nonce,
      epoch: this.epoch,
      head: this.head,
      valid_ms: this.validMs,
      now: Date.now(),
    };
    const reply = encoder.encode(
      await new CompactSign(encoder.encode(JSON.stringify(grant)))
        .setProtectedHeader({ alg: 'HS256', typ: LEASE_TYP })
        .sign(own.leaseKey),
    );
    this.leaseReplies.push(reply);
    message.respond(this.replaceLease ? this.replaceLease(reply) : reply);
  }

  private onReceipt(message: Msg): void {
    const text = message.string();
    if (decodeProtectedHeader(text).typ === typOf('leave')) this.leaves.push(payloadOf(text));
    else this.receipts.push(payloadOf(text));
  }
}

const problem = { type: 'urn:sever:problem:forbidden', title: 'no' };

function payloadOf<T>(jws: string): T {
  const payload = decoder.decode(Buffer.from(jws.split('.')[1] ?? '', 'base64url'));
  return JSON.parse(payload) as T;
}
