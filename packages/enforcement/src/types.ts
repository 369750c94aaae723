import type { Effect, HaltState, Mode } from '@sever/protocol';

import type { CallCounts } from './calls/seen-call';

export type { CallCounts, DropReason, SeenCall } from './calls/seen-call';

/** What a call is about, beside who makes it. */
export interface CallContext {
  /** `<upstream>/<name>`; implies the scope `tool:<tool>` unless `scope` is given. */
  tool?: string | undefined;
  /** The scope that the call takes; neither tool nor scope = liveness of the token only. */
  scope?: string | undefined;
  /** Name of the upstream, so that a suspension of it is enforced; by default what precedes the slash in `tool`. */
  upstream?: string | undefined;
  /** Whether it changes anything; by default HTTP GET and HEAD do not, and everything else does. */
  effect?: Effect | undefined;
  /** Refused, held and in the end cut without a lease, also where the enforcement point is best_effort. */
  mode?: 'strict' | undefined;
  /**
   * `observe`: a caller without a valid token and a call without its scope are let through, and `wouldDeny` says so. Kills,
   * suspensions and the lease hold as they do otherwise.
   */
  policy?: 'observe' | undefined;
  /**
   * Asked to show what would be allowed, not to do it: such a `check()` is no admission, so it is not counted in
   * `staleAdmissions`.
   */
  look?: true | undefined;
}

export type DenyCode =
  | 'invalid_token'
  | 'agent_revoked'
  | 'agent_suspended'
  | 'tool_suspended'
  | 'enforcement_stale'
  | 'insufficient_scope';

/**
 * Who makes the call, from the token's lineage alone. Under `policy: observe` a caller without a valid token has empty ids
 * and an empty chain.
 */
export interface Caller {
  readonly agentId: string;
  readonly credentialId: string;
  readonly tenant: string;
  readonly initiatorId: string;
  readonly scopes: readonly string[];
  /** Seconds since the Unix epoch. */
  readonly expiresAt: number;
  /** Ids of its ancestors, the root first, and last its own. */
  readonly chain: readonly string[];
  /** Tasks that it and its ancestors work on. */
  readonly taskIds: readonly string[];
  /** The service that started the root. */
  readonly serviceId?: string | undefined;
}

export interface Allowed {
  readonly decision: 'allow';
  /** Decided without a valid lease (best_effort only). */
  readonly stale: boolean;
  readonly caller: Caller;
  /** Let through only because the policy observes: what it would have been refused with. */
  readonly wouldDeny?: 'invalid_token' | 'insufficient_scope' | undefined;
}

export interface Denied {
  readonly decision: 'deny';
  readonly code: DenyCode;
  /** A fixed phrase; the operator's text stays in the control plane. */
  readonly reason: string;
  readonly killId?: string | undefined;
  /** Killed, not suspended: neither waiting nor a new login helps. */
  readonly terminal?: boolean | undefined;
  readonly stale: boolean;
  /** Who was refused; absent when the token is none that holds. */
  readonly caller?: Caller | undefined;
}

export type Decision = Allowed | Denied;

/** Thrown by `guard()` when the call is refused, and the abort reason of work that a kill cuts. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
  constructor(readonly denied: Denied) {
    super(denied.reason);
  }
}

/**
 * One call in flight, known to the enforcement point from admission to `finish()`.
 *
 * `signal` is aborted with a `RefusedError` when a revocation matches the call, or when a strict enforcement point had
 * no lease for so long that the call must be cut. `held` is true while a strict enforcement point without a lease
 * forbids relaying a byte either way; `onHold` tells of every change.
 */
export interface InFlightCall {
  readonly id: string;
  readonly signal: AbortSignal;
  readonly held: boolean;
  onHold(listener: (held: boolean) => void): void;
  /**
   * Tells once, now or after the call has ended, that whoever makes it was killed: for what the call leaves running
   * elsewhere. Ask before `finish()`. A suspension is not told, nor is a kill that lets work in flight drain.
   *
   * @param listener returns at once; what it starts is counted in no receipt
   * @returns ends the watch
   */
  onKilled(listener: () => void): () => void;
  /**
   * Ends the call. After an abort: call it once the socket is closed or the work has settled, which is what makes it
   * count as `aborted` in the receipt. The receipt waits for that, for a bounded time.
   */
  finish(): void;
}

export type Admission = Denied | (Allowed & { readonly call: InFlightCall });

export interface EnforcementState {
  readonly id: string;
  readonly name: string;
  readonly tenant: string;
  /** Whose tokens are taken here: the control plane, by its address. */
  readonly issuer: string;
  readonly bootId: string;
  readonly mode: Mode;
  /** A snapshot and a lease of this boot have been seen, and in strict mode the lease is valid now. */
  readonly ready: boolean;
  readonly epoch: number;
  readonly applied: number;
  readonly leaseLeftMs: number;
  readonly inFlight: number;
  readonly staleAdmissions: number;
  /** Kill orders that came without the control plane, and that are still open. */
  readonly halts: readonly HaltState[];
  readonly calls: CallCounts;
  /** Diverged from the control plane, or itself revoked: refuses everything until an operator acts. */
  readonly darkBecause: string | null;
}

/**
 * What became of a halt. `enforced`: what it names is refused from now on; `known`: it was before. `kept`: the disk has
 * it. `not_signed`: not by a halt key of this tenant that is alive; `expired`: past its `not_after`; `over`: the control
 * plane has committed it or lifted it since, so it opens nothing any more.
 */
export type HaltOutcome =
  | { readonly outcome: 'enforced' | 'known'; readonly killId: string; readonly kept: boolean }
  | { readonly outcome: 'refused'; readonly why: 'not_signed' | 'expired' | 'over' };

/**
 * How it hears the control plane. `auto`: over NATS, and over HTTP whenever that is not well; `nats`, `http`: that one
 * alone.
 */
export type TransportChoice = 'auto' | 'nats' | 'http';

export interface ConnectOptions {
  /** The control plane, such as `http://127.0.0.1:7400`. */
  url: string;
  /** An enrolment key, or the bootstrap key. */
  enrolmentKey: string;
  /** `[A-Za-z0-9][A-Za-z0-9._-]{0,63}` */
  name: string;
  /** Default `strict`. */
  mode?: Mode;
  /** What this process can do with work in flight; default `signal`. A proxy that closes sockets says `stream`. */
  abort?: 'stream' | 'signal' | 'none';
  /** Where its keys live, mode 0700; made when missing. One process at a time holds it. */
  keyDirectory: string;
  /** Audience that tokens must carry; default `sever`. */
  audience?: string;
  /** Default `auto`. */
  transport?: TransportChoice;
  /** Give up connecting after this long; default: never, retry with backoff. */
  timeoutMs?: number;
  logger?: Logger;
}

export interface Logger {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}
