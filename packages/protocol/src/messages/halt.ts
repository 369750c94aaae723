import { z } from 'zod';
import { envelope, Millis, SubjectText, Token } from './common';

/**
 * A kill order that an enforcement point takes without any control plane: signed beforehand, or on a laptop, with a halt
 * key that an admin has registered. It is enforced like an emergency, for every generation of its subjects, until the
 * control plane has committed it under the same `kill_id`, or has lifted it.
 */
export const Halt = envelope('halt').extend({
  kill_id: Token,
  subjects: z.array(SubjectText).min(1).max(1_000),
  reason: z.string().min(1).max(1_024),
  issued_at: Millis,
  /** It means nothing after this; at most `MAX_HALT_MS` after `issued_at`. */
  not_after: Millis,
});
export type Halt = z.infer<typeof Halt>;

/** A halt may be made a year ahead and lie in a safe. */
export const MAX_HALT_MS = 366 * 86_400_000;
/** Longest JWS of a halt: several fit one receipt. */
export const MAX_HALT_BYTES = 32 * 1_024;
/** Most halts that one receipt carries; those that wait get their turn with the next ones. */
export const MAX_REPORTED_HALTS = 8;
