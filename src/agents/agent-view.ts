import { parseSubject, type Agent, type AgentState, type Because } from '@sever/protocol';

export interface DenialColumns {
  subject: string;
  order_id: string;
  action: 'kill' | 'complete' | 'suspend';
  level?: string | null;
}

/** An agent as the database gives it, with what its state is derived from. */
export interface AgentRow {
  id: string;
  name: string;
  parent_id: string | null;
  root_id: string;
  depth: number;
  service_id: string;
  initiator_id: string;
  initiator_subject: string;
  initiator_issuer: string;
  task_id: string | null;
  scopes: string[];
  labels: Record<string, string>;
  refs: Record<string, string>;
  created_at: Date | string;
  expires_at: Date | string;
  completed: boolean;
  expired: boolean;
  denial: DenialColumns | null;
}

/** The agent as the API shows it. Its state is derived from floors when it is read, and never stored. */
export function toAgent(row: AgentRow): Agent {
  return {
    id: row.id,
    name: row.name,
    parent_id: row.parent_id,
    root_id: row.root_id,
    depth: row.depth,
    initiator: {
      id: row.initiator_id,
      subject: row.initiator_subject,
      issuer: row.initiator_issuer === '' ? null : row.initiator_issuer,
    },
    task_id: row.task_id,
    scopes: row.scopes,
    labels: row.labels,
    refs: row.refs,
    state: stateOf(row),
    because: row.denial ? becauseOf(row.denial) : null,
    created_at: new Date(row.created_at).toISOString(),
    expires_at: new Date(row.expires_at).toISOString(),
  };
}

function stateOf({ denial, completed, expired }: AgentRow): AgentState {
  if (denial?.action === 'kill') return 'killed';
  if (completed || denial?.action === 'complete') return 'completed';
  if (expired) return 'expired';
  return denial?.action === 'suspend' ? 'suspended' : 'active';
}

function becauseOf(denial: DenialColumns): Because {
  return {
    kill_id: denial.order_id,
    action: denial.action,
    subject: parseSubject(denial.subject) ?? { kind: 'unknown', id: denial.subject },
    ...(denial.action === 'suspend' && { level: denial.level ?? 'deny_all' }),
  };
}
