import type { Lineage, Mode, Position } from '@sever/protocol';

/**
 * Moments are `process.hrtime.bigint()`: on one machine all processes share CLOCK_MONOTONIC. What was asked and
 * answered has two of them, and the thing itself happened in between.
 */
export interface Moment {
  readonly at: bigint;
}
export interface Span extends Moment {
  readonly until: bigint;
}

/** Who decided: one process of one enforcement point. */
export interface Actor {
  readonly point: string;
  readonly boot: string;
}

export interface CredentialEvent extends Moment {
  readonly kind: 'credential';
  readonly credential: string;
  readonly lineage: Lineage;
}

/** Somebody sent an order. Whether it will ever be committed is not known yet. */
export interface AskEvent extends Moment {
  readonly kind: 'ask';
  readonly subject: string;
}

/** One entry of the stream, from the database. `at` is the latest that its commit can have been. */
export interface CommitEvent extends Moment {
  readonly kind: 'commit';
  readonly order: string;
  readonly does: 'floor' | 'suspend' | 'lift' | 'other';
  /** Of a lift: the order that it lifts. */
  readonly subject: string;
  /** Generations below it are dead. */
  readonly floor?: number;
  readonly level?: string;
  readonly position: Position;
  /** The chain's value after this entry. */
  readonly digest: string;
  /** Longest lease that could run anywhere at the commit, milliseconds. */
  readonly leaseMs: number;
}

/** The entry passed on its way to an enforcement point. */
export interface PublishEvent extends Moment {
  readonly kind: 'publish';
  readonly point: string;
  readonly position: Position;
}

/** An enforcement point was asked how far it is. */
export interface ApplyEvent extends Span, Actor {
  readonly kind: 'apply';
  readonly position: Position;
}

/** What an enforcement point said of itself to the control plane, in a receipt or when it asked for a lease. */
export interface ReceiptEvent extends Moment, Actor {
  readonly kind: 'receipt' | 'lease_request';
  /** One connection to the broker keeps the order of what is sent; requests over HTTP overtake each other. */
  readonly road: 'nats' | 'http';
  readonly position: Position;
  readonly digest: string;
}

/** It signed that it refuses everything. */
export interface LeaveEvent extends Moment, Actor {
  readonly kind: 'leave';
}

export interface DecisionEvent extends Span, Actor {
  readonly kind: 'admit' | 'deny';
  readonly mode: Mode;
  readonly credential: string;
  readonly stale: boolean;
  readonly code?: string;
}

/** The control plane answered that an order is contained, by these. */
export interface ContainedEvent extends Span {
  readonly kind: 'contained';
  readonly order: string;
  readonly position: Position;
  readonly by: readonly (Actor & {
    readonly status: string;
    readonly mode: Mode;
  })[];
}

export type HistoryEvent =
  | CredentialEvent
  | AskEvent
  | CommitEvent
  | PublishEvent
  | ApplyEvent
  | ReceiptEvent
  | LeaveEvent
  | DecisionEvent
  | ContainedEvent;
