import type { LeaseRequest, Position, RangeRequest } from '@sever/protocol';
import type { Clock, Timers } from '../clock';
import type { SnapshotReplies, Transport, TransportAccess, TransportListener } from '../transport';
import { BrokerHealth } from './broker-health';
import type { HttpTransport } from './http';
import { MergedReplies } from './merged-replies';

const LOOK_MS = 250;
/**
 * A broker that is lost, or was not found, gets this long before the control plane is listened to directly: enough for a
 * connection that broke, and little of a lease of two seconds.
 */
const PATIENCE_MS = 400;
/** Longer between two looks, and this process was stopped or busy. */
const STOOD_STILL_MS = 1_000;
/** A request that the broker's road has not answered by then goes over HTTP as well. */
const STEP_IN_MS = 500;
/** The broker has to be well for so long before it is relied on again. */
const TRUST_MS = 2_000;

export interface AutoTransportOptions {
  readonly broker: Transport;
  readonly http: HttpTransport;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Tells of the broker alone: while it is away, somebody should ask where it is now. */
  readonly onBroker: (connected: boolean) => void;
}

/**
 * Both roads: the broker's while it is well, the control plane's own as soon as it is not, and whatever comes first
 * while that is in doubt. What comes twice changes nothing at an enforcement point.
 *
 * Losing one road while the other stands loses no message: HTTP starts from the place up to which everything is known,
 * and is left only after the broker's road has carried everything for a while.
 */
export class AutoTransport implements Transport {
  private readonly health = new BrokerHealth();
  private listener: TransportListener | null = null;
  private overHttp = false;
  /** The last thing said to the listener: that there is a road, or none. */
  private told = false;
  private known: Position | undefined;
  private unwellSince: number;
  private wellSince: number | null = null;
  private lastLook: number;
  private cancelLook = (): void => undefined;
  private closed = false;

  constructor(private readonly options: AutoTransportOptions) {
    this.unwellSince = this.lastLook = options.clock.monotonic();
  }

  get roads(): readonly ('nats' | 'http')[] {
    return [...(this.health.isConnected ? (['nats'] as const) : []), ...this.options.http.roads];
  }

  async start(listener: TransportListener): Promise<void> {
    this.listener = listener;
    this.lookLater();
    await this.options.broker.start({
      message: (kind, bytes) => {
        this.health.heard(this.now());
        listener.message(kind, bytes);
      },
      connected: () => this.onBrokerFound(),
      disconnected: () => this.onBrokerLost(),
      suspect: (why) => listener.suspect(why),
    });
  }

  requestSnapshot(request: string): SnapshotReplies {
    const { broker, http, timers } = this.options;
    const merged = new MergedReplies();
    const viaHttp = (): void => void merged.take(() => http.requestSnapshot(request));
    if (!this.isWell()) {
      viaHttp();
      if (this.health.isConnected) void merged.take(() => broker.requestSnapshot(request));
      return merged;
    }
    void merged.take(() => broker.requestSnapshot(request), true);
    timers.after(STEP_IN_MS, () => {
      if (!merged.began) viaHttp();
    });
    return merged;
  }

  async requestRange(request: RangeRequest): Promise<Uint8Array> {
    const { broker, http } = this.options;
    return await this.first(
      () => broker.requestRange(request),
      () => http.requestRange(request),
    );
  }

  async requestEvidence(message: string): Promise<Uint8Array> {
    const { broker, http } = this.options;
    const [one, other] = this.isWell() ? [broker, http] : [http, broker];
    // One after the other: it may take long, and the control plane looks at all of it.
    return await one.requestEvidence(message).catch(() => other.requestEvidence(message));
  }

  async sendCalls(message: string): Promise<Uint8Array> {
    const { broker, http } = this.options;
    const [one, other] = this.isWell() ? [broker, http] : [http, broker];
    return await one.sendCalls(message).catch(() => other.sendCalls(message));
  }

  async requestLease(request: LeaseRequest): Promise<Uint8Array> {
    const { broker, http } = this.options;
    this.known = { epoch: request.epoch, seq: request.applied };
    return await this.first(
      () => broker.requestLease(request),
      () => http.requestLease(request),
    );
  }

  publishReceipt(message: string): void {
    if (!this.isWell()) this.options.http.publishReceipt(message);
    this.options.broker.publishReceipt(message);
  }

  async flush(): Promise<void> {
    const { broker, http } = this.options;
    const overBroker = this.health.isConnected ? broker.flush() : Promise.resolve();
    // A frozen broker takes what is flushed to it and never says so.
    await (this.isWell() ? Promise.all([overBroker, http.flush()]) : http.flush());
  }

  async useAccess(access: TransportAccess): Promise<void> {
    await this.options.http.useAccess(access);
    await this.options.broker.useAccess(access);
  }

  async close(): Promise<void> {
    this.closed = true;
    this.cancelLook();
    await Promise.all([this.options.http.close(), this.options.broker.close()]);
  }

  /** The broker's answer, or that of the control plane when the broker is not well or takes long. */
  private async first<T>(viaBroker: () => Promise<T>, viaHttp: () => Promise<T>): Promise<T> {
    const overBroker = viaBroker().then((answer) => {
      this.health.answered(this.now());
      return answer;
    });
    if (this.isWell()) {
      const answer = await Promise.race([
        overBroker.then((value) => ({ value })).catch(() => null),
        this.afterStepIn(),
      ]);
      if (answer !== null) return answer.value;
      this.health.missed();
      this.look();
    }
    try {
      return await Promise.any([overBroker, viaHttp()]);
    } catch (error) {
      throw (error as AggregateError).errors[1];
    }
  }

  private afterStepIn(): Promise<null> {
    return new Promise((resolve) => this.options.timers.after(STEP_IN_MS, () => resolve(null)));
  }

  private onBrokerFound(): void {
    this.health.connectedAt(this.now());
    this.options.onBroker(true);
    this.told = true;
    // Also with the other road standing: what the broker brings from now on has to follow from a snapshot.
    this.listener?.connected();
  }

  private onBrokerLost(): void {
    this.health.lost();
    this.options.onBroker(false);
    if (!this.overHttp || this.options.http.roads.length === 0) this.tellLost();
    this.look();
    this.options.timers.after(PATIENCE_MS, () => this.look());
  }

  private tellLost(): void {
    if (!this.told) return;
    this.told = false;
    this.listener?.disconnected();
  }

  private lookLater(): void {
    this.cancelLook = this.options.timers.after(LOOK_MS, () => {
      this.look();
      if (!this.closed) this.lookLater();
    });
  }

  private look(): void {
    if (this.closed) return;
    const now = this.now();
    const stoodStill = now - this.lastLook > STOOD_STILL_MS;
    this.lastLook = now;
    // This process was stopped, or busy: what the broker has sent meanwhile is read only after this.
    if (stoodStill) return;
    if (this.isWell()) {
      this.wellSince ??= now;
      if (this.overHttp && now - this.wellSince >= TRUST_MS) this.leaveHttp();
      return;
    }
    if (this.wellSince !== null) this.unwellSince = now;
    this.wellSince = null;
    const patience = this.health.isConnected ? 0 : PATIENCE_MS;
    if (!this.overHttp && now - this.unwellSince >= patience) this.takeHttp();
  }

  private takeHttp(): void {
    const { listener } = this;
    if (listener === null) return;
    this.overHttp = true;
    const opened = this.options.http.start(
      {
        message: (kind, bytes) => listener.message(kind, bytes),
        connected: () => this.onHttpFound(listener),
        disconnected: () => {
          if (!this.health.isConnected) this.tellLost();
        },
        suspect: (why) => listener.suspect(why),
      },
      this.known,
    );
    // It ends when it is left; it fails for no other reason than a fault of ours.
    opened.catch((error: unknown) => listener.suspect(String(error)));
  }

  private onHttpFound(listener: TransportListener): void {
    if (this.told) return;
    this.told = true;
    listener.connected();
  }

  private leaveHttp(): void {
    this.overHttp = false;
    this.options.http.stop();
  }

  private isWell(): boolean {
    return this.health.isWell(this.now());
  }

  private now(): number {
    return this.options.clock.monotonic();
  }
}
