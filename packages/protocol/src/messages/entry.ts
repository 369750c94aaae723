import { z } from 'zod';
import {
  Count,
  Digest,
  envelope,
  KeyPurpose,
  Millis,
  PublicJwk,
  SubjectText,
  Token,
} from './common';

/** `drain`: refuse what is new and let what runs come to its end. A reader who does not know it aborts, which is safe. */
const InFlightRule = z.literal('drain').optional();

export const FloorOp = z.object({
  op: z.literal('floor'),
  subject: SubjectText,
  generation: Count,
  in_flight: InFlightRule,
});
export const SuspendOp = z.object({
  op: z.literal('suspend'),
  id: Token,
  subject: SubjectText,
  level: z.string().max(512).optional(),
  in_flight: InFlightRule,
});
export const LiftOp = z.object({ op: z.literal('lift'), id: Token });
export const KeyOp = z.object({
  op: z.literal('key'),
  purpose: KeyPurpose,
  kid: z.string().max(64),
  state: z.enum(['next', 'live', 'dead']),
  jwk: PublicJwk.optional(),
});
export const KnownOp = z.discriminatedUnion('op', [FloorOp, SuspendOp, LiftOp, KeyOp]);
export type KnownOp = z.infer<typeof KnownOp>;

/**
 * An op that this version does not know counts as a denial of its subject and is reported as a nack: a newer control
 * plane must never be misread as "nothing happened".
 */
export const UnknownOp = z.looseObject({ op: z.string().max(64), subject: SubjectText.optional() });
export type UnknownOp = z.infer<typeof UnknownOp>;

/**
 * One entry of a tenant's revocation stream. `digest` is the chain's value before this entry
 * (`d_n = SHA-256(d_{n-1} || SHA-256(payload n))`, `d_0` = 32 zero bytes); `audit` the SHA-256 of the order's audit
 * record; `at` the database's clock when the entry was appended, or the time of
 * the tenant's latest credential if that clock has been set back since: what floors are kept by.
 */
export const Entry = envelope('entry').extend({
  epoch: Count,
  seq: Count.min(1),
  op: z.union([KnownOp, UnknownOp]),
  kill_id: Token,
  digest: Digest,
  audit: Digest.optional(),
  at: Millis,
});
export type Entry = z.infer<typeof Entry>;

/** `null` when this version does not know the op, or knows it in another shape. */
export function knownOp(entry: Entry): KnownOp | null {
  const parsed = KnownOp.safeParse(entry.op);
  return parsed.success ? parsed.data : null;
}

/** A stream message holds one or more signed entries, one a line; consecutive ones are sent together under load. */
export const ENTRY_SEPARATOR = '\n';
