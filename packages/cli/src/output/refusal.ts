import type { ReceivedProblem } from '../client/errors';
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
  return [
    `sever: refused: ${terminalText(problem.code)} (${problem.status})`,
    terminalText(problem.detail),
    ...(problem.kill_id === undefined
      ? []
      : [`by ${terminalText(problem.kill_id)}: sever kills ${terminalText(problem.kill_id)}`]),
    ...(next === undefined ? [] : [`next: ${next}`]),
  ];
}
