import type { LeaseRequest, Position, RangeRequest } from '@sever/protocol';
import type { Clock, Timers } from '../clock';
import type { SnapshotReplies, Transport, TransportAccess, TransportListener } from '../transport';
import { HttpRefusedError, HttpRoad } from './http-road';
import { HttpStream } from './http-stream';
import { MessageQueue } from './message-queue';

const REQUEST_TIMEOUT_MS = 2_000;
const EVIDENCE_TIMEOUT_MS = 10_000;
const CALLS_TIMEOUT_MS = 5_000;
const SNAPSHOT_TIMEOUT_MS = 5_000;

export interface HttpTransportOptions {
  readonly url: string;
  readonly accessKey: string;
  readonly clock: Clock;
  readonly timers: Timers;
}

/** The same messages over HTTP, from the control plane itself: for who cannot reach a broker, or while it is away. */
export class HttpTransport implements Transport {
  private readonly road: HttpRoad;
  private stream: HttpStream | null = null;
  private readonly sending = new Set<Promise<unknown>>();

  constructor(private readonly options: HttpTransportOptions) {
    this.road = new HttpRoad(options);
  }

  get roads(): readonly 'http'[] {
    return this.stream?.isUp ? ['http'] : [];
  }

  /** @param after everything up to there is known already */
  async start(listener: TransportListener, after?: Position): Promise<void> {
    this.stop();
    const { clock, timers } = this.options;
    this.stream = new HttpStream({ road: this.road, clock, timers, listener, after });
    await this.stream.run();
  }

  /** Listens no more. Requests may still be made. */
  stop(): void {
    this.stream?.close();
    this.stream = null;
  }

  requestSnapshot(request: string): SnapshotReplies {
    const queue = new MessageQueue<Uint8Array>();
    const abort = new AbortController();
    const question = { body: request, timeoutMs: SNAPSHOT_TIMEOUT_MS, signal: abort.signal };
    this.road
      .lines('/snapshot', question, (line) => queue.push(line))
      .then(
        () => queue.fail(new Error('the snapshot has ended')),
        (error: unknown) => queue.fail(error as Error),
      );
    return { next: (timeoutMs) => queue.next(timeoutMs), close: () => abort.abort() };
  }

  async requestRange(request: RangeRequest): Promise<Uint8Array> {
    return await this.ask('/range', request);
  }

  async requestLease(request: LeaseRequest): Promise<Uint8Array> {
    return await this.ask('/lease', request);
  }

  async requestEvidence(message: string): Promise<Uint8Array> {
    return await this.ask('/evidence', message, EVIDENCE_TIMEOUT_MS);
  }

  async sendCalls(message: string): Promise<Uint8Array> {
    // Not `ask`: a record that is not taken says nothing about the stream.
    return await this.road.ask('/calls', { body: message, timeoutMs: CALLS_TIMEOUT_MS });
  }

  publishReceipt(message: string): void {
    const sent = this.ask('/receipts', message).catch(() => undefined);
    this.sending.add(sent);
    void sent.then(() => this.sending.delete(sent));
  }

  async flush(): Promise<void> {
    await Promise.all(this.sending);
  }

  useAccess({ accessKey }: TransportAccess): Promise<void> {
    if (accessKey !== undefined) this.road.useAccessKey(accessKey);
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.stop();
    this.road.close();
    return Promise.resolve();
  }

  private async ask(
    path: string,
    body: object | string,
    timeoutMs = REQUEST_TIMEOUT_MS,
  ): Promise<Uint8Array> {
    try {
      return await this.road.ask(path, { body, timeoutMs });
    } catch (error) {
      // A question that waits at a frozen or exchanged control plane would not notice for long.
      if (!(error instanceof HttpRefusedError)) this.stream?.restart();
      throw error;
    }
  }
}
