import { z } from 'zod';
import { envelope, Millis, SubjectText, Token } from './common';

/**
 * A kill announced while the database is down, before it has a place in the stream. Every generation of its subjects is
 * denied until an entry with the same `kill_id` is in force for that subject, or the order is lifted.
 */
export const Emergency = envelope('emergency').extend({
  kill_id: Token,
  subjects: z.array(SubjectText).min(1).max(1_000),
  issued_at: Millis,
  /** The announcement means nothing after this; the control plane has committed or refused the order long before. */
  not_after: Millis,
  /**
   * The order itself, sealed under the control plane's master key (base64url), so that any replica that has heard it can
   * commit it. Nobody else can read it, or needs to.
   */
  order: z
    .string()
    .regex(/^[A-Za-z0-9_-]+$/)
    .max(196_608)
    .optional(),
});
export type Emergency = z.infer<typeof Emergency>;
