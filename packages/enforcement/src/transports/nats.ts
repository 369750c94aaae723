import {
  connect,
  createInbox,
  jwtAuthenticator,
  type NatsConnection,
} from '@nats-io/transport-node';
import {
  broadcastSubject,
  BROADCASTS,
  inboxPrefix,
  requestSubject,
  type EpRequest,
  type LeaseRequest,
  type RangeRequest,
} from '@sever/protocol';
import { systemClock, systemTimers } from '../clock';
import { retry } from '../retry';
import type { SnapshotReplies, Transport, TransportAccess, TransportListener } from '../transport';
import { MessageQueue } from './message-queue';

const REQUEST_TIMEOUT_MS = 2_000;
/** It is looked at entry by entry, and what is missing is committed before the reply. */
const EVIDENCE_TIMEOUT_MS = 10_000;
const CALLS_TIMEOUT_MS = 5_000;
/** A server that takes a connection and says nothing gets this long at each attempt. */
const DIAL_TIMEOUT_MS = 5_000;
/** A subscription with more unread messages than this has a reader that cannot keep up. */
const SLOW_AFTER = 50_000;
const encoder = new TextEncoder();

export interface NatsTransportOptions {
  readonly tenant: string;
  readonly ep: string;
  /** Seed of the NATS user; only its public key was enrolled. */
  readonly seed: Uint8Array;
  readonly access: TransportAccess;
}

/**
 * Plain publish and request over NATS. What is published while disconnected is lost, and that is fine: gaps are
 * noticed and receipts are repeated.
 */
export class NatsTransport implements Transport {
  private connection: NatsConnection | null = null;
  private listener: TransportListener | null = null;
  private access: TransportAccess;
  private closed = false;
  private dialling = false;
  /** Grows with each new search for a broker, which ends the one before. */
  private turn = 0;

  constructor(private readonly options: NatsTransportOptions) {
    this.access = options.access;
  }

  get roads(): readonly 'nats'[] {
    return this.connection === null || this.connection.isClosed() ? [] : ['nats'];
  }

  async start(listener: TransportListener): Promise<void> {
    this.listener = listener;
    await this.open();
  }

  requestSnapshot(request: string): SnapshotReplies {
    const connection = this.current();
    const inbox = createInbox(this.prefix());
    const queue = new MessageQueue<Uint8Array>();
    const subscription = connection.subscribe(inbox, {
      callback: (error, message) => {
        if (error) queue.fail(error);
        // An empty message with a status header is the broker's "nobody listens".
        else if (message.headers?.code === 503) queue.fail(new Error('nobody answers snapshots'));
        else queue.push(message.data);
      },
    });
    connection.publish(this.subject('snapshot'), encoder.encode(request), { reply: inbox });
    return {
      next: (timeoutMs) => queue.next(timeoutMs),
      close: () => {
        if (!subscription.isClosed()) subscription.unsubscribe();
        queue.fail(new Error('closed'));
      },
    };
  }

  async requestRange(request: RangeRequest): Promise<Uint8Array> {
    return await this.request('range', request);
  }

  async requestLease(request: LeaseRequest): Promise<Uint8Array> {
    return await this.request('lease', request);
  }

  async requestEvidence(message: string): Promise<Uint8Array> {
    return await this.request('evidence', message, EVIDENCE_TIMEOUT_MS);
  }

  async sendCalls(message: string): Promise<Uint8Array> {
    return await this.request('call', message, CALLS_TIMEOUT_MS);
  }

  publishReceipt(message: string): void {
    this.connection?.publish(this.subject('receipt'), encoder.encode(message));
  }

  async flush(): Promise<void> {
    await this.connection?.flush();
  }

  async useAccess(access: TransportAccess): Promise<void> {
    const moved = access.urls.join() !== this.access.urls.join();
    this.access = access;
    // A new JWT is read by the authenticator at the next attempt; new addresses need a new connection.
    if (this.closed || (!moved && (this.connection !== null || this.dialling))) return;
    await this.open();
  }

  async close(): Promise<void> {
    this.closed = true;
    this.turn += 1;
    const { connection } = this;
    this.connection = null;
    await connection?.close();
  }

  private async open(): Promise<void> {
    this.turn += 1;
    const { turn, connection: old } = this;
    this.connection = null;
    this.dialling = true;
    await old?.close();
    const connection = await this.dial(() => turn === this.turn);
    if (connection === null) return;
    if (turn !== this.turn) return void (await connection.close());
    this.dialling = false;
    this.connection = connection;
    // From the first moment: a loss before the round trip below is only told here, and so is the way back.
    void this.watch(connection);
    for (const kind of BROADCASTS)
      connection.subscribe(broadcastSubject(kind, this.options.tenant), {
        slow: SLOW_AFTER,
        callback: (error, message) => {
          if (error) this.listener?.suspect(error.message);
          else this.listener?.message(kind, message.data);
        },
      });
    await this.announce(connection);
  }

  /** The round trip proves that the broker has the subscriptions. */
  private async announce(connection: NatsConnection): Promise<void> {
    try {
      await connection.flush();
    } catch {
      // Lost meanwhile; the client subscribes again by itself and `watch` tells.
      return;
    }
    if (connection === this.connection) this.listener?.connected();
  }

  /**
   * The client's own wait for a first connection cannot be called off, so it makes one attempt at a time.
   *
   * @returns `null` when something newer, or the end, has taken the place of this search
   */
  private async dial(isWanted: () => boolean): Promise<NatsConnection | null> {
    const attempt = async () => (isWanted() ? await this.connectOnce() : null);
    try {
      return await retry(attempt, {
        clock: systemClock,
        timers: systemTimers,
        random: Math.random,
        firstMs: 200,
        maxMs: 1_000,
        isTransient: isWanted,
      });
    } catch (error) {
      if (isWanted()) throw error;
      return null;
    }
  }

  private async connectOnce(): Promise<NatsConnection> {
    return await connect({
      servers: [...this.access.urls],
      name: this.options.ep,
      authenticator: jwtAuthenticator(() => this.access.jwt, this.options.seed),
      inboxPrefix: this.prefix(),
      timeout: DIAL_TIMEOUT_MS,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 100,
      reconnectJitter: 100,
      pingInterval: 1_000,
      maxPingOut: 2,
      ignoreAuthErrorAbort: true,
    });
  }

  private async watch(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (connection !== this.connection) return;
      switch (status.type) {
        case 'disconnect':
          this.listener?.disconnected();
          break;
        case 'reconnect':
          this.listener?.connected();
          break;
        case 'staleConnection':
        case 'slowConsumer':
          this.listener?.suspect(status.type);
          break;
        default:
      }
    }
    // The client has given up for good, which no setting asks it to; nothing else would ever dial again.
    if (connection !== this.connection) return;
    this.connection = null;
    this.listener?.disconnected();
    await this.open();
  }

  private async request(
    kind: 'range' | 'lease' | 'evidence' | 'call',
    body: object | string,
    timeout = REQUEST_TIMEOUT_MS,
  ): Promise<Uint8Array> {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const reply = await this.current().request(this.subject(kind), encoder.encode(text), {
      timeout,
    });
    return reply.data;
  }

  private current(): NatsConnection {
    if (this.connection === null || this.connection.isClosed()) throw new Error('not connected');
    return this.connection;
  }

  private subject(kind: EpRequest): string {
    return requestSubject(kind, this.options.tenant, this.options.ep);
  }

  private prefix(): string {
    return inboxPrefix(this.options.tenant, this.options.ep);
  }
}
