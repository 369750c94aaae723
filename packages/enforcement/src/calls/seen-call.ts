import type { CallDecision, CallOutcome } from '@sever/protocol';
import type { Caller } from '../types';

/** One call as whoever carried it out has seen it. */
export interface SeenCall {
  readonly caller: Caller;
  /** Recorded of a caller that is not known: its address, and what it says of its program. */
  readonly remoteAddress?: string | undefined;
  readonly userAgent?: string | undefined;
  /** Milliseconds since the Unix epoch: what `EnforcementPoint.now()` said when it began. */
  readonly startedAt: number;
  readonly durationMs: number;
  readonly upstream?: string | undefined;
  /** `<upstream>/<name>` */
  readonly tool?: string | undefined;
  /** Of HTTP; with `path`, whose query is left out of the record. */
  readonly method?: string | undefined;
  readonly path?: string | undefined;
  readonly decision: CallDecision;
  /** Why it was refused, would have been, or was cut: a code of a problem. */
  readonly code?: string | undefined;
  /** Decided without a valid lease. */
  readonly stale: boolean;
  readonly outcome: CallOutcome;
  readonly killId?: string | undefined;
  readonly bytesIn?: number | undefined;
  readonly bytesOut?: number | undefined;
  /** HTTP status that the caller got. */
  readonly status?: number | undefined;
  readonly traceId?: string | undefined;
  readonly spanId?: string | undefined;
  /** SHA-256 over the canonical JSON of the arguments, base64url. */
  readonly argumentsHash?: string | undefined;
  /** JSON text of the arguments, redacted; left out when it is longer than a record may hold. */
  readonly arguments?: string | undefined;
}

/** Why a record will never arrive. */
export type DropReason = 'queue_full' | 'spool_full' | 'spool_failed' | 'malformed' | 'refused';

/** What has become of call records since this process began. */
export interface CallCounts {
  /** Kept by the control plane. */
  readonly sent: number;
  /** In memory, on their way. */
  readonly waiting: number;
  /** On the disk, until the control plane takes them. */
  readonly spooled: number;
  readonly dropped: Readonly<Record<DropReason, number>>;
}
