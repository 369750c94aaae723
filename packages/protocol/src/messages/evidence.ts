import { z } from 'zod';
import { MAX_MESSAGE_BYTES } from '../defaults';
import { Count, envelope, Token } from './common';

/**
 * Signed by the enforcement point: what the control plane itself signed and a restored database may have forgotten. Each
 * entry, and the manifest of the snapshot that this boot took last, proves itself by the stream key's signature; nothing
 * in here is believed because an enforcement point says so.
 */
export const Evidence = envelope('evidence').extend({
  ep: Token,
  boot_id: Token,
  /** Newest place that this boot had applied in the epoch that the entries speak of. */
  epoch: Count,
  applied: Count,
  manifest: z.string().max(MAX_MESSAGE_BYTES).optional(),
  /** Signed entries in order. More than fit one message come in several. */
  entries: z.array(z.string().max(MAX_MESSAGE_BYTES)).max(1_000),
});
export type Evidence = z.infer<typeof Evidence>;

/** The control plane has looked at all of it and kept what was missing. `epoch`: the one that its database is in now. */
export const EvidenceReply = z.object({
  type: z.literal('evidence-taken'),
  v: z.literal(1),
  epoch: Count,
});
export type EvidenceReply = z.infer<typeof EvidenceReply>;
