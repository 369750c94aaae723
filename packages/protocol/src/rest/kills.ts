import { z } from 'zod';
import { AgentState, InitiatorRef } from './agents';
import { Id, ListOf, ListQuery, Timestamp } from './common';
import { EpMode } from '../messages/common';

export const SubjectRef = z.strictObject({
  kind: z.string().min(1).max(32),
  id: z.string().min(1).max(512),
});
export type SubjectRef = z.infer<typeof SubjectRef>;

/**
 * What an order names: `{kind, id}`, or what stands for it. A human by what the identity provider calls them; a credential by
 * its token (expired ones too); `{kind: "ref", id: "k:v"}` and `{kind: "trace", id}` stand for the agents that carry it.
 */
export const SubjectAsked = z.union([
  SubjectRef,
  z.strictObject({ kind: z.literal('token'), token: z.string().min(1).max(32_768) }),
  z.strictObject({ kind: z.literal('initiator'), ...InitiatorRef.shape }),
  z.strictObject({ kind: z.literal('initiator'), id: InitiatorRef }),
]);
export type SubjectAsked = z.infer<typeof SubjectAsked>;

/** A level as text (`deny_tools:[git/push,git/force_*]`), or the tools as a list. */
export const LevelAsked = z.union([
  z.string().max(512),
  z.strictObject({ deny_tools: z.array(z.string().max(256)).min(1).max(32) }),
]);
export type LevelAsked = z.infer<typeof LevelAsked>;

/** `POST /v1/kills`: `subject` or `subjects`, and why. */
export const KillRequest = z
  .strictObject({
    subject: SubjectAsked.optional(),
    subjects: z.array(SubjectAsked).min(1).max(1_000).optional(),
    action: z.enum(['kill', 'suspend']).optional(),
    reason: z.string(),
    ticket: z.string().min(1).max(256).optional(),
    expires_in: z.string().max(32).optional(),
    level: LevelAsked.optional(),
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

/** `POST /v1/agents/:id/suspend`. */
export const SuspendAgentRequest = KillAgentRequest.extend({
  expires_in: z.string().max(32).optional(),
  level: LevelAsked.optional(),
});
export type SuspendAgentRequest = z.infer<typeof SuspendAgentRequest>;

/** `POST /v1/kills/:id/lift` and `/escalate`. */
export const ReasonRequest = z.strictObject({ reason: z.string() });
export type ReasonRequest = z.infer<typeof ReasonRequest>;

/** `POST /v1/subjects/:kind/:id/reinstate`: names every standing kill of the subject. */
export const ReinstateRequest = z.strictObject({
  kill_id: z.string().max(64).optional(),
  kill_ids: z.array(z.string().max(64)).min(1).max(1_000).optional(),
  reason: z.string(),
});
export type ReinstateRequest = z.infer<typeof ReinstateRequest>;

export const ReinstateReply = z.object({
  subject: SubjectRef,
  /** What is issued from now on carries it; older credentials and descendants stay dead. `null` for what has none. */
  generation: z.number().int().nullable(),
  released: z.array(Id('kill')),
  reason: z.string(),
  created_at: Timestamp,
  created_by: z.object({ id: z.string(), name: z.string(), kind: z.string() }),
});
export type ReinstateReply = z.infer<typeof ReinstateReply>;

/** `POST /v1/kills/preview`: what the order would cover at this moment. */
export const KillPlan = z.object({
  subjects: z.array(SubjectRef),
  resolved: z.unknown().optional(),
  not_found: z.array(z.object({ kind: z.string(), id: z.string() })),
  counts: z.object({
    agents: z.number().int(),
    credentials: z.number().int(),
    grants: z.number().int(),
  }),
  /** At most 500; `counts` has them all. Living ones only. */
  agents: z.array(
    z.object({
      id: Id('agent'),
      name: z.string(),
      parent_id: Id('agent').nullable(),
      depth: z.number().int(),
      state: AgentState,
      initiator: z.string(),
    }),
  ),
  /** Agents outside the plan that hold a credential derived from one inside: it dies, they live on by another lineage. */
  keep_another_lineage: z.array(z.object({ id: Id('agent'), name: z.string() })),
  matched: z.number().int().optional(),
  nearest: z.array(z.string()).optional(),
  /** Send it as `if_plan_hash`: the kill is refused (409 `plan_changed`) when it would cover anything else. */
  plan_hash: z.string(),
});
export type KillPlan = z.infer<typeof KillPlan>;

/**
 * `emergency`: announced while the database is away, not committed yet. `refused`: announced so, and refused by the
 * database when it was back; nothing of it stands.
 */
export const KillState = z.enum(['committed', 'partial', 'contained', 'emergency', 'refused']);
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

const Released = z.object({
  at: Timestamp,
  by: z.object({ id: z.string(), name: z.string(), kind: z.string() }),
  reason: z.string(),
});

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
  /** What the order named, and the subjects that it stood for, where the two differ. */
  resolved: z.array(z.object({ asked: z.unknown(), subjects: z.array(SubjectRef) })).optional(),
  /** For initiators, labels, tools and upstreams, which need not be known: agents that it touches now. */
  matched: z.number().int().optional(),
  /** When nothing matched: known names close to the one given. */
  nearest: z.array(z.string()).optional(),
  level: z.string().nullable().optional(),
  in_flight: z.enum(['abort', 'drain']).optional(),
  /** When the suspension lifts itself, or the hold on new roots ends. */
  expires_at: Timestamp.nullable().optional(),
  hold_until: Timestamp.nullable().optional(),
  lifted: Released.nullable().optional(),
  /** The suspension became this kill. */
  escalated: Released.nullable().optional(),
  /** A later reinstatement released this kill. */
  reinstated: Released.nullable().optional(),
  /** In `emergency`: whether the replica that took it has it on its disk, so that it outlives that process. */
  journaled: z.boolean().optional(),
  /** In `refused`: why the database took nothing of it. */
  refused: z.object({ at: Timestamp, code: z.string(), detail: z.string() }).optional(),
  /** Roots that the same service started for the same initiator since. */
  came_back: z.object({ agents: z.number().int(), ids: z.array(Id('agent')) }).optional(),
  /** Spawns and mints that the control plane has refused because of it. */
  refused_since: z.number().int().optional(),
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
  /** Calls that this boot has let through without a valid lease, since its start. */
  stale_admissions: z.number().int().optional(),
  /** The signed receipt itself, for a reader who trusts nobody. */
  jws: z.string().nullable(),
});
export type KillReceipt = z.infer<typeof KillReceipt>;
export const KillReceiptList = ListOf(KillReceipt);
