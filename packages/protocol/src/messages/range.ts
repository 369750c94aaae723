import { z } from 'zod';
import { Count } from './common';

/** Asks for the entries `from..to` (inclusive) of one epoch. */
export const RangeRequest = z.object({
  type: z.literal('range-request'),
  v: z.literal(1),
  epoch: Count,
  from: Count.min(1),
  to: Count.min(1),
});
export type RangeRequest = z.infer<typeof RangeRequest>;

/** Signed entries in order, as many as fit one message; `compacted` when they are no longer kept: take a snapshot. */
export const RangeReply = z.object({
  type: z.literal('range'),
  v: z.literal(1),
  epoch: Count,
  entries: z.array(z.string()),
  compacted: z.boolean(),
});
export type RangeReply = z.infer<typeof RangeReply>;
