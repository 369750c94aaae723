import type { z } from 'zod';
import { Count, envelope, Millis, Token } from './common';

/** Says where the head is, so that a lost entry is noticed. It proves neither freshness nor divergence. */
export const Pulse = envelope('pulse').extend({
  epoch: Count,
  head: Count,
  /** A replica's boot; `n` grows per source, so that a replayed pulse is told apart. */
  source: Token,
  n: Count,
  now: Millis,
  /** Receipts wait a random moment within this window, so that they do not compete with delivery. */
  receipt_window_ms: Count.max(60_000),
});
export type Pulse = z.infer<typeof Pulse>;
