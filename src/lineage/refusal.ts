import { ProblemError, type ProblemCode } from '@sever/protocol';

/** What a critical function of the database answers when it refuses; it has written nothing then. */
export interface SqlRefusal {
  problem: string;
  kill_id?: string;
  subject?: unknown;
  [detail: string]: unknown;
}

const DETAIL: Partial<Record<ProblemCode, string>> = {
  not_found: 'There is no such object in this tenant.',
  ancestor_revoked:
    'The agent, or one it comes from, has been revoked; nothing is issued to it any more.',
  ancestor_suspended:
    'The agent, or one it comes from, is suspended; try again once that is lifted.',
  agent_ended: 'The agent has completed or its life is over; spawn a new one.',
  agent_revoked: 'The agent, or one it comes from, has been revoked; stop, and do not try again.',
  agent_suspended: 'The agent, or one it comes from, is suspended; wait until that is lifted.',
  not_a_descendant: 'The caller may only touch itself and what stands below it.',
  not_a_suspension:
    'This order is a kill, or has been lifted already; a kill is undone by a reinstatement.',
  not_killed: 'Nothing keeps this subject dead: there is nothing to reinstate.',
  not_a_kill_of_it:
    'That is not a kill which keeps this subject dead; GET /v1/kills?subject=kind:id lists them.',
  other_kills_stand:
    'Other kills keep this subject dead as well; name all of them in kill_ids if all of them are to be released.',
  second_person_required: 'Whoever ordered the kill cannot release it; ask another lead.',
  idempotency_mismatch:
    'This Idempotency-Key was used with another request; use a new key for a new request.',
};

/** Turns a refusal of the database into the error that the client gets. */
export function refused(refusal: SqlRefusal): ProblemError {
  const { problem: code, kill_id, ...rest } = refusal;
  const terminal = code.endsWith('_revoked') ? { terminal: true } : {};
  return new ProblemError(
    code as ProblemCode,
    detailOf(code as ProblemCode, rest),
    kill_id === undefined ? rest : { kill_id, ...terminal },
  );
}

function detailOf(code: ProblemCode, rest: Record<string, unknown>): string {
  if (code === 'bad_ttl')
    return `ttl_seconds: the parent lives for another ${String(rest.remaining_seconds)} seconds; ask for no more, or leave it out.`;
  if (code === 'too_many_children')
    return `The agent may have ${String(rest.max_children)} children over its whole life, and has had them.`;
  if (code === 'plan_changed')
    return `The kill would cover something else by now (${String(rest.agents)} agents); preview it again.`;
  if (code === 'too_wide')
    return `The kill would stop ${String(rest.agents)} agents, and max_agents allows ${String(rest.max_agents)}; raise it, or name a narrower subject.`;
  if (typeof rest.held_until === 'string')
    return `A kill holds new roots of this service for this initiator back until ${rest.held_until}.`;
  return DETAIL[code] ?? code;
}

export function isRefusal(answer: object): answer is SqlRefusal {
  return 'problem' in answer;
}
