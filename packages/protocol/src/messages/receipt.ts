import { z } from 'zod';
import { Count, Digest, envelope, Token } from './common';
import { MAX_HALT_BYTES, MAX_REPORTED_HALTS } from './halt';

export const InFlightCounts = z.object({
  /** Socket closed, or guarded promise settled. */
  aborted: Count,
  /** Ended by itself before it could be cut. */
  completed: Count,
  /** Signalled but unsettled, or let through by an enforcement point that only decides. */
  uncontrolled: Count,
});
export type InFlightCounts = z.infer<typeof InFlightCounts>;

/**
 * Signed by the enforcement point: this boot enforces the stream up to `(epoch, applied)`. Sent only after the view is
 * swapped and in-flight work of the dead has been aborted. Cumulative.
 */
export const Receipt = envelope('receipt').extend({
  ep: Token,
  boot_id: Token,
  epoch: Count,
  applied: Count,
  /** From applying the newest entry to sending this, on the enforcement point's monotonic clock. */
  held_ms: z.number().nonnegative().max(3_600_000),
  in_flight: z.record(Token, InFlightCounts),
  nacks: z.array(z.object({ seq: Count, error: z.string().max(512) })).max(1_000),
  digest: Digest,
  /** Calls that this boot has let through without a valid lease (best_effort), since its start. */
  stale_admissions: Count.optional(),
  /** Halts in force here that the control plane has not committed, as they were signed. */
  halts: z.array(z.string().max(MAX_HALT_BYTES)).max(MAX_REPORTED_HALTS).optional(),
});
export type Receipt = z.infer<typeof Receipt>;

/** Signed by the enforcement point on SIGTERM, once it refuses everything. Sent on its receipt subject. */
export const Leave = envelope('leave').extend({
  ep: Token,
  boot_id: Token,
  epoch: Count,
  applied: Count,
});
export type Leave = z.infer<typeof Leave>;
