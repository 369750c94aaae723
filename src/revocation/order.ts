import { createHash } from 'node:crypto';
import type { SubjectRef } from '@sever/protocol';
import { READERS } from '../access/policy';
import type { AgentPrincipal, KeyPrincipal } from '../access/principal';

export type Action = 'kill' | 'suspend' | 'complete';

/** An order as `sever_revoke` takes it. Absent means: not asked for. */
export interface Order {
  id: string;
  action: Action;
  subjects: SubjectRef[];
  only: boolean;
  reason: string;
  ticket: string | null;
  actor: { id: string; name: string; kind: string };
  caller: OrderCaller;
  idempotency: { principal_id: string; key: string; fingerprint: string } | null;
  audit_id: string;
  level?: string;
  in_flight?: 'abort' | 'drain';
  /** Life of a suspension, milliseconds. */
  expires_ms?: number;
  /** How long the same service may start no new root for the same initiator, milliseconds. */
  hold_ms?: number;
  if_plan_hash?: string;
  max_agents?: number;
  resolved?: Resolved[];
  not_found?: SubjectRef[];
  matched?: number;
  nearest?: string[];
  warnings?: string[];
  /** The order is a suspension under this very id, and becomes a kill. */
  escalates?: true;
}

/** What the order named, and the subjects that it stood for. */
export interface Resolved {
  asked: unknown;
  subjects: SubjectRef[];
}

/** Whose right the order rests on; checked inside the fenced transaction. */
export type OrderCaller =
  | { kind: 'operator' }
  | { kind: 'service'; service_id: string }
  | { kind: 'agent'; agent_id: string; subjects: string[]; generations: number[] };

export function callerOf(by: KeyPrincipal | AgentPrincipal): OrderCaller {
  if (by.kind === 'agent')
    return {
      kind: 'agent',
      agent_id: by.id,
      subjects: by.lineage.map(([subject]) => subject),
      generations: by.lineage.map(([, generation]) => generation),
    };
  // A key with a human role (or a playbook's) acts on the whole tenant; one that is only a service, on its own roots.
  return READERS.some((role) => by.roles.has(role))
    ? { kind: 'operator' }
    : { kind: 'service', service_id: by.id };
}

/** What makes two requests the same: method, path, and the body whatever the order of its keys. */
export function fingerprint(method: string, path: string, body: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify([method, path, sorted(body)]))
    .digest('hex');
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, member]) => member !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, member]) => [key, sorted(member)]),
  );
}
