import type { LeaseRequest, RangeRequest } from '@sever/protocol';

/** What a transport hears, as raw bytes: nothing is verified yet. */
export interface TransportListener {
  message(kind: 'stream' | 'pulse' | 'emergency', bytes: Uint8Array): void;
  /** The connection was lost. */
  disconnected(): void;
  /** It stands, for the first time or again, and the subscriptions do too; it may be told twice. */
  connected(): void;
  /** Messages may have been lost although it stands. */
  suspect(why: string): void;
}

/** The messages that answer one snapshot request, in order of arrival. */
export interface SnapshotReplies {
  /** @throws when nothing comes within that many milliseconds */
  next(timeoutMs: number): Promise<Uint8Array>;
  close(): void;
}

export interface TransportAccess {
  /** Of the broker. */
  readonly urls: readonly string[];
  readonly jwt: string;
  /** Bearer at the control plane; left out: as before. */
  readonly accessKey?: string;
}

export type Road = 'nats' | 'http';

/**
 * The road between an enforcement point and the control plane. It may lose, repeat, delay and reorder; it never
 * decides anything. NATS is one; the same messages can travel over HTTP.
 */
export interface Transport {
  /** The roads that stand at this moment. */
  readonly roads: readonly Road[];
  /**
   * Looks for the other side until it is found or `close()`. `connected` tells that stream, pulse and emergency are
   * subscribed: a snapshot may be asked for only after that.
   */
  start(listener: TransportListener): Promise<void>;
  requestSnapshot(request: string): SnapshotReplies;
  requestRange(request: RangeRequest): Promise<Uint8Array>;
  requestLease(request: LeaseRequest): Promise<Uint8Array>;
  /** Signed evidence; the reply says that it was looked at. */
  requestEvidence(message: string): Promise<Uint8Array>;
  /** A signed batch of call records; the reply says what became of it. */
  sendCalls(message: string): Promise<Uint8Array>;
  /** Receipts and the leave. It proves nothing about delivery. */
  publishReceipt(message: string): void;
  /** Hands over everything published so far, as far as the connection allows. */
  flush(): Promise<void>;
  /** New addresses or credentials from the control plane. */
  useAccess(access: TransportAccess): Promise<void>;
  close(): Promise<void>;
}
