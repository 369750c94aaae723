import { z } from 'zod';
import { idPattern } from '../ids';
import { Count, Digest, envelope, Millis, Token } from './common';

/**
 * How a call ended. `completed`: the answer was handed on whole. `refused`: nothing of it reached an upstream. `aborted`: cut
 * by an order, a lapsed lease or a stop; `code` says which. `abandoned`: whoever made it went away. `failed`: the upstream or
 * the enforcement point did. `decided`: let through by one that only decides, so nobody here saw its end.
 */
export const CALL_OUTCOMES = [
  'completed',
  'refused',
  'aborted',
  'abandoned',
  'failed',
  'decided',
] as const;
export type CallOutcome = (typeof CALL_OUTCOMES)[number];

export const MAX_CALL_BATCH = 500;
/** Of the text of recorded arguments, where they are recorded at all. */
export const MAX_CALL_ARGUMENTS = 16_384;
/** Of a path; a longer one is recorded cut. */
export const MAX_CALL_PATH = 2_048;
/** Of what an unknown caller says of its program; more is recorded cut. */
export const MAX_USER_AGENT = 128;

/** `would_deny`: let through where the policy only observes; `code` says why it would have been refused. */
export const CALL_DECISIONS = ['allow', 'deny', 'would_deny'] as const;
export type CallDecision = (typeof CALL_DECISIONS)[number];

/** Postgres stores neither NUL nor half of a surrogate pair. */
// eslint-disable-next-line no-control-regex -- the one character that it is about
const UNSTORABLE = /[\u0000\p{Cs}]/u;

function text(most: number) {
  return z
    .string()
    .min(1)
    .max(most)
    .refine((value) => !UNSTORABLE.test(value), 'holds NUL or half of a surrogate pair');
}

/** The W3C `trace-id` and `parent-id`; all zeroes are neither. */
export const TraceId = z.string().regex(/^(?!0{32})[0-9a-f]{32}$/);
export const SpanId = z.string().regex(/^(?!0{16})[0-9a-f]{16}$/);

/**
 * One call at a boundary: who, for whom, which tool, what was decided and why, how long. Who it was comes from the lineage of
 * a token that was verified; a caller without one has an empty chain, and is known by where it called from alone. The id is
 * made where the call was seen, so that a record told twice is kept once.
 */
export const CallRecord = z.object({
  id: z.string().regex(idPattern('call')),
  /** The database's clock, as far as the enforcement point knows it. */
  started_at: Millis,
  duration_ms: z.number().nonnegative().max(Number.MAX_SAFE_INTEGER),
  /** Ids of the agents of the lineage, the root first; the last one made the call. */
  chain: z.array(Token).max(128),
  initiator: Token.optional(),
  service: Token.optional(),
  tasks: z.array(Token).max(128),
  credential: Token.optional(),
  /** Of a caller that is not known: its address, and what it says of its program. */
  remote_address: text(64).optional(),
  user_agent: text(MAX_USER_AGENT).optional(),
  upstream: text(64).optional(),
  /** `<upstream>/<name>` */
  tool: text(320).optional(),
  method: z
    .string()
    .regex(/^[A-Z]{1,32}$/)
    .optional(),
  /** Without the query. */
  path: text(MAX_CALL_PATH).optional(),
  decision: z.enum(CALL_DECISIONS),
  /** Why it was refused, would have been, or was cut. */
  code: z
    .string()
    .regex(/^[a-z_]{1,64}$/)
    .optional(),
  /** Decided without a valid lease (best_effort). */
  stale: z.boolean(),
  outcome: z.enum(CALL_OUTCOMES),
  /** The order that refused or cut it. */
  kill_id: Token.optional(),
  bytes_in: Count,
  bytes_out: Count,
  /** HTTP status that the caller got. */
  status: z.number().int().min(100).max(599).optional(),
  trace_id: TraceId.optional(),
  /** The `parent-id` of the `traceparent` that the upstream got. */
  span_id: SpanId.optional(),
  /** SHA-256 over the arguments as canonical JSON (RFC 8785). */
  arguments_hash: Digest.optional(),
  /** The arguments as JSON text, with what is to be kept out of records replaced. */
  arguments: text(MAX_CALL_ARGUMENTS).optional(),
});
export type CallRecord = z.infer<typeof CallRecord>;

/** Signed by the enforcement point. Records of one batch may be of any time. */
export const CallBatch = envelope('call').extend({
  ep: Token,
  boot_id: Token,
  records: z.array(CallRecord).min(1).max(MAX_CALL_BATCH),
});
export type CallBatch = z.infer<typeof CallBatch>;

/** Every record of the batch is in the database, or is older than anything that is kept. */
export const CallsTaken = z.object({
  type: z.literal('calls-taken'),
  v: z.literal(1),
  /** New to the database. */
  stored: Count,
  /** There before: a batch that was sent again. */
  known: Count,
  /** Too old, or from the future: not kept. */
  outside: Count,
});
export type CallsTaken = z.infer<typeof CallsTaken>;

export const CALL_REFUSALS = ['malformed', 'too_large', 'no_space', 'busy'] as const;
/** Nothing of the batch was kept. `no_space` and `busy` pass: send it again later. The others do not. */
export const CallsRefused = z.object({
  type: z.literal('calls-refused'),
  v: z.literal(1),
  code: z.enum(CALL_REFUSALS),
  detail: z.string().max(512),
});
export type CallsRefused = z.infer<typeof CallsRefused>;

export const CallReply = z.discriminatedUnion('type', [CallsTaken, CallsRefused]);
export type CallReply = z.infer<typeof CallReply>;
