import { z } from 'zod';

/** A question waits at most this long for something to tell, milliseconds. */
export const STREAM_WAIT_MAX_MS = 25_000;

/**
 * `after`: the place up to which everything is known; left out, the answer comes at once and names the head. `heard`:
 * as the last answer gave it. `wait`: `0`, `Ns` or `Nms`, at most 25 s, which is also the default.
 */
export const StreamQuery = z.strictObject({
  after: z
    .string()
    .regex(/^\d{1,7}\.\d{1,16}$/)
    .optional(),
  heard: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,64}\.\d{1,15}$/)
    .optional(),
  wait: z.string().optional(),
});
export type StreamQuery = z.infer<typeof StreamQuery>;

/** `request`: the signed snapshot request, for who would rather not send a body. */
export const SnapshotQuery = z.strictObject({ request: z.string().min(1).max(8_192) });
export type SnapshotQuery = z.infer<typeof SnapshotQuery>;

/** A signed message as a body. */
export const JWS_CONTENT_TYPE = 'application/jose';
/** A snapshot as a body: the signed manifest, then each chunk, one a line, bytes as they were hashed. */
export const SNAPSHOT_CONTENT_TYPE = 'application/x-ndjson';

/**
 * What a listener over HTTP gets for one question: everything since the places that it named, as the same signed
 * messages that travel over NATS. The page itself is unsigned; it grants nothing and denies nothing.
 */
export const StreamPage = z.object({
  type: z.literal('stream-page'),
  v: z.literal(1),
  /** Place in the stream, `E.seq`: `after` of the next question. */
  next: z.string().max(64),
  /** Place among the emergencies: `heard` of the next question, to be handed back as it is. */
  heard: z.string().max(128),
  /** Signed entries in order, as many as fit one message. */
  entries: z.array(z.string()),
  /** There is no unbroken way from the named place to `next`: take a snapshot. */
  compacted: z.boolean(),
  /** The newest pulse, while it is new. */
  pulse: z.string().nullable(),
  /** Signed emergencies that are open and were not told before. */
  emergencies: z.array(z.string()),
});
export type StreamPage = z.infer<typeof StreamPage>;
