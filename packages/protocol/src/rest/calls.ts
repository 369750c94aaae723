import { z } from 'zod';
import { CALL_DECISIONS, CALL_OUTCOMES, TraceId } from '../messages/call';
import { Id, ListOf, ListQuery, Timestamp } from './common';

/** `GET /v1/calls`, newest first. Several conditions narrow each other down. */
export const CallQuery = ListQuery.extend({
  /** Calls that this agent made itself. */
  agent: Id('agent').optional(),
  /** Calls of this agent and of everything below it. */
  under: Id('agent').optional(),
  /** Everything done in a human's name: `ini_…`, or the subject, whoever vouches for it. */
  initiator: z.string().min(1).max(256).optional(),
  task: Id('task').optional(),
  /** `<upstream>/<name>` */
  tool: z.string().min(1).max(320).optional(),
  upstream: z.string().min(1).max(64).optional(),
  trace_id: TraceId.optional(),
  decision: z.enum(CALL_DECISIONS).optional(),
  /** What this order has refused or cut. */
  kill_id: Id('kill').optional(),
  since: Timestamp.optional(),
  until: Timestamp.optional(),
});
export type CallQuery = z.infer<typeof CallQuery>;

const Named = z.object({
  id: z.string(),
  /** `null`: not known here. */
  name: z.string().nullable(),
});

export const Call = z.object({
  id: Id('call'),
  started_at: Timestamp,
  duration_ms: z.number(),
  enforcement_point: Named,
  /** `null`: nobody that is known; then the address and the program tell where to look. */
  agent: Named.nullable(),
  /** From the root to the agent itself. */
  chain: z.array(Named),
  initiator: z
    .object({
      id: z.string(),
      subject: z.string().nullable(),
      issuer: z.string().nullable(),
    })
    .nullable(),
  service_id: z.string().nullable(),
  task_ids: z.array(z.string()),
  credential_id: z.string().nullable(),
  remote_address: z.string().nullable(),
  user_agent: z.string().nullable(),
  upstream: z.string().nullable(),
  tool: z.string().nullable(),
  method: z.string().nullable(),
  path: z.string().nullable(),
  decision: z.enum(CALL_DECISIONS),
  code: z.string().nullable(),
  stale: z.boolean(),
  outcome: z.enum(CALL_OUTCOMES),
  kill_id: z.string().nullable(),
  bytes_in: z.number().int(),
  bytes_out: z.number().int(),
  status: z.number().int().nullable(),
  trace_id: z.string().nullable(),
  span_id: z.string().nullable(),
  /** SHA-256 over the arguments as canonical JSON, base64url. */
  arguments_hash: z.string().nullable(),
  /** As they were recorded, redacted; `null` unless the enforcement point records them. */
  arguments: z.unknown().nullable(),
});
export type Call = z.infer<typeof Call>;
export const CallList = ListOf(Call);
