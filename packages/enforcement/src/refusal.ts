import { problem, type Problem } from '@sever/protocol';
import type { Denied } from './types';

/** A refusal as it travels over HTTP. */
export interface Refusal {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly problem: Problem;
}

/**
 * A revoked agent gets 403: a 401 would invite it to log in again. The reason is the fixed phrase of the enforcement
 * point; what the operator wrote stays in the control plane.
 */
export function refusalOf(denied: Denied): Refusal {
  return refusal(
    problem(denied.code, denied.reason, {
      ...(denied.killId === undefined ? {} : { kill_id: denied.killId }),
      ...(denied.terminal === undefined ? {} : { terminal: denied.terminal }),
    }),
  );
}

export function refusal(of: Problem): Refusal {
  return { status: of.status, headers: headersFor(of), problem: of };
}

/** Nothing that could be a token was presented, or more than one thing was. */
export const NO_TOKEN: Denied = {
  decision: 'deny',
  code: 'invalid_token',
  reason: 'One agent token is needed, as Authorization: Bearer',
  stale: false,
};

function headersFor(of: Problem): Record<string, string> {
  if (of.status === 401) return { 'www-authenticate': 'Bearer error="invalid_token"' };
  if (of.status === 503) return { 'retry-after': '1' };
  return {};
}
