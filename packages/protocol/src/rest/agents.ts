import { z } from 'zod';
import { Id, ListOf, ListQuery, Timestamp } from './common';

const Name = z.string().min(1).max(128);
/** Keys and values of labels and refs: short, printable ASCII; the first colon separates key and value. */
const PairKey = z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/);
const PairValue = z.string().regex(/^[\x21-\x7e]{1,128}$/);

export const InitiatorRef = z.strictObject({
  subject: z.string().min(1).max(256),
  issuer: z.string().min(1).max(256).optional(),
});

/** `POST /v1/agents`. Numbers and scopes are checked for meaning by the control plane (422), not here. */
export const SpawnRequest = z.strictObject({
  name: Name,
  initiator: InitiatorRef.optional(),
  task: z.strictObject({ name: Name }).optional(),
  scopes: z.array(z.string().max(1_024)).max(10_000).optional(),
  labels: z.record(PairKey, PairValue).optional(),
  refs: z.record(PairKey, PairValue).optional(),
  /** Life of the agent in seconds. */
  ttl_seconds: z.number().optional(),
  max_depth: z.number().optional(),
  max_children: z.number().optional(),
});
export type SpawnRequest = z.infer<typeof SpawnRequest>;

export const AGENT_STATES = ['active', 'suspended', 'killed', 'completed', 'expired'] as const;
export const AgentState = z.enum(AGENT_STATES);
export type AgentState = z.infer<typeof AgentState>;

export const Because = z.object({
  kill_id: z.string(),
  action: z.enum(['kill', 'suspend', 'complete']),
  subject: z.object({ kind: z.string(), id: z.string() }),
  /** Of a suspension: `deny_all` unless it says otherwise. */
  level: z.string().optional(),
});
export type Because = z.infer<typeof Because>;

export const Agent = z.object({
  id: Id('agent'),
  name: z.string(),
  parent_id: Id('agent').nullable(),
  root_id: Id('agent'),
  /** Root = 0. */
  depth: z.number().int(),
  initiator: z.object({ id: Id('initiator'), subject: z.string(), issuer: z.string().nullable() }),
  task_id: Id('task').nullable(),
  scopes: z.array(z.string()),
  labels: z.record(z.string(), z.string()),
  refs: z.record(z.string(), z.string()),
  state: AgentState,
  because: Because.nullable(),
  created_at: Timestamp,
  expires_at: Timestamp,
});
export type Agent = z.infer<typeof Agent>;

export const IssuedCredential = z.object({
  id: Id('credential'),
  token: z.string(),
  expires_at: Timestamp,
  scopes: z.array(z.string()),
});
export type IssuedCredential = z.infer<typeof IssuedCredential>;

export const SpawnReply = z.object({ agent: Agent, credential: IssuedCredential });
export type SpawnReply = z.infer<typeof SpawnReply>;

export const MintRequest = z.strictObject({
  scopes: z.array(z.string().max(1_024)).max(10_000).optional(),
  ttl_seconds: z.number().optional(),
  audience: z.string().min(1).max(128).optional(),
  use: z.literal('tools').optional(),
});
export type MintRequest = z.infer<typeof MintRequest>;
export const MintReply = z.object({ credential: IssuedCredential });
export type MintReply = z.infer<typeof MintReply>;

export const AgentQuery = ListQuery.extend({
  q: z.string().min(1).max(256).optional(),
  initiator: z.string().min(1).max(256).optional(),
  task: z.string().min(1).max(128).optional(),
  label: z.string().min(3).max(200).regex(/:/).optional(),
  ref: z.string().min(3).max(200).regex(/:/).optional(),
  state: AgentState.optional(),
  root: Id('agent').optional(),
});
export type AgentQuery = z.infer<typeof AgentQuery>;
export const AgentList = ListOf(Agent);
export const AgentTree = ListOf(Agent);

export const CompleteReply = z.object({ agent: Agent });
export const CompleteTaskReply = z.object({
  task: z.object({ id: Id('task'), name: z.string(), completed_at: Timestamp }),
});
