import type { LeaseGrant, LeaseRefusal, LeaseRequest } from '@sever/protocol';

export interface LeaseQuestion {
  readonly tenant: string;
  readonly ep: string;
  readonly request: LeaseRequest;
}

/** What the primary says about a lease request, all of one moment that lies after the request's arrival. */
export interface LeaseFacts {
  readonly epoch: number;
  readonly head: number;
  readonly validMs: number;
  /** Milliseconds since the Unix epoch on the database's clock. */
  readonly now: number;
  readonly revoked: boolean;
  /** Mode of the stored boot; `null` when it is not stored, has left or was retired. */
  readonly livingMode: string | null;
  /** Not heard for so long that a retirement may be on its way. */
  readonly longSilent: boolean;
  /** The chain's value at the place that the request names; `null` when that place is not comparable. */
  readonly digest: string | null;
}

export type LeaseVerdict =
  /** `renewFirst`: only after the note of when its boot was last heard has been renewed. */
  | { readonly refused: null; readonly renewFirst: boolean }
  | { readonly refused: LeaseRefusal['code']; readonly divergence: string | null };

/**
 * A lease given to a boot that was last noted this long ago waits until the note is renewed. With the longest lease
 * (11 minutes with its margin) that ends before a boot so noted could be retired (20 minutes).
 */
export const LONG_SILENCE_MS = 5 * 60_000;

export function judgeLease(request: LeaseRequest, facts: LeaseFacts): LeaseVerdict {
  if (facts.revoked) return { refused: 'revoked', divergence: null };
  if (facts.livingMode !== request.mode) return { refused: 'boot_unknown', divergence: null };
  const divergence = leaseDivergence(request, facts);
  return divergence === null
    ? { refused: null, renewFirst: facts.longSilent }
    : { refused: 'divergence', divergence };
}

/** An enforcement point of an older epoch is behind, not different: it takes a snapshot when it sees the newer one. */
function leaseDivergence(request: LeaseRequest, facts: LeaseFacts): string | null {
  if (request.epoch > facts.epoch)
    return `it has applied epoch ${request.epoch}, and the database is in ${facts.epoch}`;
  if (request.epoch < facts.epoch) return null;
  if (request.applied > facts.head)
    return `it has applied ${request.applied}, and the head is ${facts.head}`;
  if (facts.digest !== null && facts.digest !== request.digest)
    return `its digest at ${request.applied} is not that of the database`;
  return null;
}

export function leaseGrant(question: LeaseQuestion, facts: LeaseFacts): LeaseGrant {
  const { epoch, head, validMs, now } = facts;
  return { type: 'lease', ...answering(question), epoch, head, valid_ms: validMs, now };
}

export function leaseRefusal(question: LeaseQuestion, code: LeaseRefusal['code']): LeaseRefusal {
  return { type: 'lease-refused', ...answering(question), code };
}

function answering({ tenant, ep, request }: LeaseQuestion) {
  return { v: 1, tenant, ep, boot_id: request.boot_id, nonce: request.nonce } as const;
}
