import {
  Agent,
  EnforcementPointInfo,
  Kill,
  KillReceipt,
  newId,
  type Containment,
} from '@sever/protocol';

/** Bodies as the contract has them; each passes its schema before a test sees it. */

export const AT = '2026-05-01T03:12:05.000Z';

export function agentBody(over: Partial<Agent> = {}): Agent {
  const id = over.id ?? newId('agent');
  return Agent.parse({
    id,
    name: 'planner',
    parent_id: null,
    root_id: id,
    depth: 0,
    initiator: { id: newId('initiator'), subject: 'alice@example.com', issuer: null },
    task_id: null,
    scopes: ['tool:github/*'],
    labels: { team: 'red' },
    refs: {},
    state: 'active',
    because: null,
    created_at: AT,
    expires_at: '2026-05-02T03:12:05.000Z',
    ...over,
  });
}

export function childOf(parent: Agent, over: Partial<Agent> = {}): Agent {
  return agentBody({
    name: 'reader',
    parent_id: parent.id,
    root_id: parent.root_id,
    depth: parent.depth + 1,
    initiator: parent.initiator,
    ...over,
  });
}

export function containmentBody(over: Partial<Containment> = {}): Containment {
  const body: Containment = {
    required: 0,
    enforced: 2,
    dark: 0,
    pending: [],
    nack: [],
    unknown: [],
    enforced_by: null,
    latency_ms: { p50: 4, p99: 12, max: 12 },
    not_covered: [],
    ...over,
  };
  const { enforced, dark, pending, nack, unknown } = body;
  return {
    ...body,
    required: enforced + dark + pending.length + nack.length + unknown.length,
  };
}

export function killBody(over: Partial<Kill> = {}): Kill {
  const subject = over.subject ?? { kind: 'agent', id: newId('agent') };
  return Kill.parse({
    id: newId('kill'),
    state: 'contained',
    action: 'kill',
    subject,
    subjects: [subject],
    stream_token: '1.7',
    reason: 'prompt injection',
    ticket: null,
    created_at: AT,
    created_by: { id: newId('apiKey'), name: 'on-call', kind: 'responder' },
    summary: 'Stopped at 2 of 2 enforcement points in 12 ms.',
    warnings: [],
    cascade: { state: 'done', agents: 3, credentials: 4 },
    containment: containmentBody(),
    ...over,
  });
}

/** Committed, and one strict enforcement point has yet to answer. */
export function pendingKill(over: Partial<Kill> = {}, darkBy = '2099-01-01T00:00:00.000Z'): Kill {
  return killBody({
    state: 'partial',
    summary: 'Stopped at 1 of 2 enforcement points; ep-7 silent.',
    containment: containmentBody({
      enforced: 1,
      pending: [{ id: newId('enforcementPoint'), name: 'ep-7', mode: 'strict', dark_by: darkBy }],
      enforced_by: darkBy,
    }),
    ...over,
  });
}

export function receiptBody(over: Partial<KillReceipt> = {}): KillReceipt {
  return KillReceipt.parse({
    enforcement_point: { id: newId('enforcementPoint'), name: 'ep-1', mode: 'strict' },
    boot_id: newId('boot'),
    status: 'enforced',
    applied: '1.7',
    received_at: AT,
    latency_ms: 12,
    in_flight: { aborted: 1, completed: 0, uncontrolled: 0 },
    jws: null,
    ...over,
  });
}

export function enforcementPointBody(
  over: Partial<EnforcementPointInfo> = {},
): EnforcementPointInfo {
  return EnforcementPointInfo.parse({
    id: newId('enforcementPoint'),
    name: 'ep-1',
    mode: 'strict',
    abort: 'stream',
    created_at: AT,
    boots: [
      {
        boot_id: newId('boot'),
        mode: 'strict',
        since: '1.0',
        applied: '1.7',
        last_seen_at: AT,
        state: 'live',
      },
    ],
    ...over,
  });
}

export function pageOf<T>(...items: T[]): { items: T[]; next_cursor: null } {
  return { items, next_cursor: null };
}
