import { z } from 'zod';
import { Id, ListOf, ListQuery, Timestamp } from './common';
import { EpMode } from '../messages/common';

export const SubjectRef = z.strictObject({
  kind: z.string().min(1).max(32),
  id: z.string().min(1).max(512),
});
export type SubjectRef = z.infer<typeof SubjectRef>;

/** `POST /v1/kills`: `subject` or `subjects`, and why. */
export const KillRequest = z
  .strictObject({
    subject: SubjectRef.optional(),
    subjects: z.array(SubjectRef).min(1).max(1_000).optional(),
    action: z.enum(['kill', 'suspend']).optional(),
    reason: z.string(),
    ticket: z.string().min(1).max(256).optional(),
    expires_in: z.string().max(32).optional(),
    level: z.string().max(512).optional(),
    in_flight: z.enum(['abort', 'drain']).optional(),
    hold: z.string().max(32).optional(),
    only: z.boolean().optional(),
    if_plan_hash: z.string().max(128).optional(),
    max_agents: z.number().int().nonnegative().optional(),
  })
  .refine((body) => (body.subject === undefined) !== (body.subjects === undefined), {
    message: 'name either subject or subjects',
  });
export type KillRequest = z.infer<typeof KillRequest>;

/** `?wait=`: `0`, `Ns` or `Nms`; how long the reply waits for containment. */
export const WaitQuery = z.strictObject({ wait: z.string().optional() });

/** `POST /v1/agents/:id/kill`. */
export const KillAgentRequest = z.strictObject({
  reason: z.string(),
  ticket: z.string().min(1).max(256).optional(),
});
export type KillAgentRequest = z.infer<typeof KillAgentRequest>;

export const KillState = z.enum(['committed', 'partial', 'contained', 'emergency']);
export type KillState = z.infer<typeof KillState>;

export const Containment = z.object({
  /** Sum of the five. */
  required: z.number().int(),
  enforced: z.number().int(),
  dark: z.number().int(),
  pending: z.array(
    z.object({
      id: Id('enforcementPoint'),
      name: z.string(),
      mode: EpMode,
      dark_by: Timestamp.nullable(),
    }),
  ),
  nack: z.array(z.object({ id: Id('enforcementPoint'), name: z.string(), error: z.string() })),
  unknown: z.array(z.object({ id: Id('enforcementPoint'), name: z.string() })),
  /** When the last strict enforcement point is provably dark, whatever fails. */
  enforced_by: Timestamp.nullable(),
  /** Commit → receipt, upper bound, milliseconds. */
  latency_ms: z.object({ p50: z.number(), p99: z.number(), max: z.number() }).nullable(),
  not_covered: z.array(z.looseObject({ what: z.string(), detail: z.string() })),
});
export type Containment = z.infer<typeof Containment>;

export const Kill = z.object({
  id: Id('kill'),
  state: KillState,
  action: z.enum(['kill', 'suspend', 'complete']),
  subject: z.object({ kind: z.string(), id: z.string() }),
  subjects: z.array(z.object({ kind: z.string(), id: z.string() })),
  /** `"epoch.seq"` of the kill's last entry. */
  stream_token: z.string(),
  reason: z.string(),
  ticket: z.string().nullable(),
  created_at: Timestamp,
  created_by: z.object({ id: z.string(), name: z.string(), kind: z.string() }),
  /** One sentence that a tired person can act on. */
  summary: z.string(),
  warnings: z.array(z.string()),
  not_found: z.array(z.object({ kind: z.string(), id: z.string() })).optional(),
  resolved: z.unknown().optional(),
  cascade: z.object({
    state: z.enum(['pending', 'running', 'done']),
    agents: z.number().int().nullable(),
    credentials: z.number().int().nullable(),
  }),
  containment: Containment,
});
export type Kill = z.infer<typeof Kill>;

export const KillQuery = ListQuery.extend({ subject: z.string().max(320).optional() });
export type KillQuery = z.infer<typeof KillQuery>;
export const KillList = ListOf(Kill);

/** One member of a kill's cascade; `state` is derived when it is read. */
export const CascadeMember = z.object({
  kind: z.enum(['agent', 'credential', 'grant']),
  id: z.string(),
  agent_id: z.string().nullable(),
  name: z.string().nullable(),
  state: z.string(),
});
export type CascadeMember = z.infer<typeof CascadeMember>;
export const CascadeList = ListOf(CascadeMember);

export const KillReceipt = z.object({
  enforcement_point: z.object({ id: Id('enforcementPoint'), name: z.string(), mode: EpMode }),
  boot_id: z.string(),
  status: z.enum(['enforced', 'dark', 'pending', 'nack', 'unknown']),
  applied: z.string().nullable(),
  received_at: Timestamp.nullable(),
  latency_ms: z.number().nullable(),
  in_flight: z
    .object({ aborted: z.number(), completed: z.number(), uncontrolled: z.number() })
    .nullable(),
  /** The signed receipt itself, for a reader who trusts nobody. */
  jws: z.string().nullable(),
});
export type KillReceipt = z.infer<typeof KillReceipt>;
export const KillReceiptList = ListOf(KillReceipt);
