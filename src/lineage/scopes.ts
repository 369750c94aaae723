import {
  firstUncovered,
  isScope,
  MAX_SCOPES,
  ProblemError,
  type ProblemCode,
} from '@sever/protocol';

/** Checks the grammar and the number of scopes, and drops repetitions. @throws ProblemError `bad_scope` */
export function readScopes(asked: readonly string[]): string[] {
  const scopes = [...new Set(asked)];
  const bad = scopes.find((scope) => !isScope(scope));
  if (bad !== undefined)
    throw new ProblemError(
      'bad_scope',
      `scopes: ${JSON.stringify(bad.slice(0, 80))} is not a scope; write tool:<upstream>/<name> or http:<METHOD>:<upstream>/<path>, with * only as the last character.`,
    );
  if (scopes.length > MAX_SCOPES)
    throw new ProblemError(
      'bad_scope',
      `scopes: at most ${MAX_SCOPES}; use a wildcard such as tool:github/*.`,
    );
  return scopes;
}

/** @throws ProblemError with `code` when something asked for is not covered by what is held. */
export function requireCovered(
  held: readonly string[],
  asked: readonly string[],
  code: Extract<ProblemCode, 'scope_exceeds_parent' | 'scope_exceeds_agent'>,
): void {
  const missing = firstUncovered(held, asked);
  if (missing !== undefined)
    throw new ProblemError(
      code,
      `scopes: ${missing} is not covered by what the ${code === 'scope_exceeds_parent' ? 'parent' : 'agent'} holds.`,
    );
}
