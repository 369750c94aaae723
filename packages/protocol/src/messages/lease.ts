import { z } from 'zod';
import { Count, Digest, envelope, Millis, EpMode, Nonce, Token } from './common';

export const LeaseRequest = z.object({
  type: z.literal('lease-request'),
  v: z.literal(1),
  nonce: Nonce,
  boot_id: Token,
  mode: EpMode,
  epoch: Count,
  applied: Count,
  digest: Digest,
});
export type LeaseRequest = z.infer<typeof LeaseRequest>;

/**
 * Reply: JWS with HS256 under the enforcement point's own key from enrolment. `head` was read from the primary by a
 * statement begun after the request arrived; the lease runs from the monotonic time at which the request was *sent*.
 */
export const LeaseGrant = envelope('lease').extend({
  ep: Token,
  boot_id: Token,
  nonce: Nonce,
  epoch: Count,
  head: Count,
  valid_ms: Count.min(100).max(600_000),
  now: Millis,
});
export type LeaseGrant = z.infer<typeof LeaseGrant>;

export const LEASE_REFUSALS = ['boot_unknown', 'divergence', 'revoked'] as const;
/** The same, when no lease is given: an unknown boot takes a snapshot first; divergence and revocation go dark. */
export const LeaseRefusal = envelope('lease-refused').extend({
  ep: Token,
  boot_id: Token,
  nonce: Nonce,
  code: z.enum(LEASE_REFUSALS),
});
export type LeaseRefusal = z.infer<typeof LeaseRefusal>;

export const LeaseReply = z.discriminatedUnion('type', [LeaseGrant, LeaseRefusal]);
export type LeaseReply = z.infer<typeof LeaseReply>;
/** `typ` of both. */
export const LEASE_TYP = 'sever-lease+jws';
