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
  type LeaseRequest,
  type RangeRequest,
} from '@sever/protocol';
import type { SnapshotReplies, Transport, TransportAccess, TransportListener } from '../transport';
import { MessageQueue } from './message-queue';

const REQUEST_TIMEOUT_MS = 2_000;
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
  private opening = 0;

  constructor(private readonly options: NatsTransportOptions) {
    this.access = options.access;
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
      },
    };
  }

  async requestRange(request: RangeRequest): Promise<Uint8Array> {
    return await this.request('range', request);
  }

  async requestLease(request: LeaseRequest): Promise<Uint8Array> {
    return await this.request('lease', request);
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
    if (this.closed || (!moved && (this.connection !== null || this.opening > 0))) return;
    const old = this.connection;
    this.connection = null;
    await old?.close();
    await this.open();
  }

  async close(): Promise<void> {
    this.closed = true;
    const { connection } = this;
    this.connection = null;
    await connection?.close();
  }

  private async open(): Promise<void> {
    const connection = await this.dial();
    if (this.closed || this.connection !== null) return void (await connection.close());
    this.connection = connection;
    for (const kind of BROADCASTS)
      connection.subscribe(broadcastSubject(kind, this.options.tenant), {
        slow: SLOW_AFTER,
        callback: (error, message) => {
          if (error) this.listener?.suspect(error.message);
          else this.listener?.message(kind, message.data);
        },
      });
    // The round trip proves that the broker has the subscriptions.
    await connection.flush();
    void this.watch(connection);
    this.listener?.connected();
  }

  private async dial(): Promise<NatsConnection> {
    this.opening += 1;
    try {
      return await connect({
        servers: [...this.access.urls],
        name: this.options.ep,
        authenticator: jwtAuthenticator(() => this.access.jwt, this.options.seed),
        inboxPrefix: this.prefix(),
        maxReconnectAttempts: -1,
        reconnectTimeWait: 100,
        reconnectJitter: 100,
        pingInterval: 1_000,
        maxPingOut: 2,
        ignoreAuthErrorAbort: true,
        waitOnFirstConnect: true,
      });
    } finally {
      this.opening -= 1;
    }
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
  }

  private async request(kind: 'range' | 'lease', body: object): Promise<Uint8Array> {
    const reply = await this.current().request(
      this.subject(kind),
      encoder.encode(JSON.stringify(body)),
      { timeout: REQUEST_TIMEOUT_MS },
    );
    return reply.data;
  }

  private current(): NatsConnection {
    if (this.connection === null || this.connection.isClosed()) throw new Error('not connected');
    return this.connection;
  }

  private subject(kind: 'snapshot' | 'range' | 'lease' | 'receipt'): string {
    return requestSubject(kind, this.options.tenant, this.options.ep);
  }

  private prefix(): string {
    return inboxPrefix(this.options.tenant, this.options.ep);
  }
}
