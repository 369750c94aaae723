import type { ReceivedProblem } from '../client/errors';
import { resolvedLines } from './resolved-lines';
import { terminalText } from './terminal-text';

/** Where the server cannot know how the command line is used. */
const NEXT: Readonly<Record<string, string>> = {
  unauthenticated:
    'set SEVER_KEY (or --key) to an API key of this control plane that has not expired',
  forbidden: 'use a key whose role may do this (responder, lead, admin or playbook to kill)',
  not_a_descendant:
    'a service kills under its own roots, an agent itself and its descendants; use a responder’s key',
  not_found: 'look it up: sever find ANYTHING, sever kills',
  idempotency_mismatch:
    'this key belongs to another kill; leave --idempotency-key out for a new one',
  plan_changed: 'nothing was done; look again with --dry-run, which prints the new line',
  too_wide:
    'nothing was done; raise --max-agents, or name less. --dry-run shows whom it would stop',
  not_a_suspension:
    'a kill is not lifted; a lead who did not order it brings its subject back: sever reinstate',
  not_killed: 'look what became of it: sever kills --subject kind:id',
  second_person_required: 'ask a lead who has ordered none of these kills',
  bad_reason: 'give --reason 1 to 1,000 characters',
  rate_limited: 'wait a moment and repeat the command',
  fence_busy: 'repeat the command with the same --idempotency-key; it kills once',
  unavailable: 'repeat the command with the same --idempotency-key; it kills once',
  internal:
    'repeat the command with the same --idempotency-key, and look at sever kills: it may have been done',
};

/** A refusal for people: the code, what the server says, what to do next. */
export function refusalLines(problem: ReceivedProblem): string[] {
  const next = NEXT[problem.code];
  const unknown = Array.isArray(problem.not_found)
    ? { not_found: subjects(problem.not_found) }
    : {};
  const standing = Array.isArray(problem.kill_ids) ? problem.kill_ids.map(String) : [];
  return [
    `sever: refused: ${terminalText(problem.code)} (${problem.status})`,
    terminalText(problem.detail),
    ...(problem.kill_id === undefined
      ? []
      : [`by ${terminalText(problem.kill_id)}: sever kills ${terminalText(problem.kill_id)}`]),
    ...resolvedLines(unknown),
    ...(standing.length === 0
      ? []
      : [`next: name all that stand: --kill ${terminalText(standing.join(','))}`]),
    ...(next === undefined ? [] : [`next: ${next}`]),
  ];
}

function subjects(list: readonly unknown[]): { kind: string; id: string }[] {
  return list.map((one) => {
    const { kind, id } = (one ?? {}) as { kind?: unknown; id?: unknown };
    return { kind: String(kind), id: String(id) };
  });
}
