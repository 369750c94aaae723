/**
 * Every refusal of Sever, with the HTTP status it travels under (RFC 9457: `type` is `urn:sever:problem:<code>`).
 * The set is closed: a new code is a change of the public interface.
 */
export const PROBLEM_STATUS = {
  bad_request: 400,
  unauthenticated: 401,
  invalid_token: 401,
  forbidden: 403,
  bad_proof: 403,
  not_a_descendant: 403,
  scope_exceeds_parent: 403,
  scope_exceeds_agent: 403,
  insufficient_scope: 403,
  agent_revoked: 403,
  agent_suspended: 403,
  tool_suspended: 403,
  second_person_required: 403,
  not_found: 404,
  method_not_allowed: 405,
  request_timeout: 408,
  agent_ended: 409,
  ancestor_revoked: 409,
  ancestor_suspended: 409,
  not_a_suspension: 409,
  not_killed: 409,
  other_kills_stand: 409,
  plan_changed: 409,
  too_wide: 409,
  not_a_kill_of_it: 412,
  enforcement_point_revoked: 403,
  payload_too_large: 413,
  uri_too_long: 414,
  unsupported_media_type: 415,
  bad_scope: 422,
  idempotency_mismatch: 422,
  too_deep: 422,
  too_many_children: 422,
  too_many_labels: 422,
  bad_ttl: 422,
  bad_reason: 422,
  bad_subject: 422,
  bad_level: 422,
  unprocessable: 422,
  rate_limited: 429,
  headers_too_large: 431,
  internal: 500,
  upstream_unreachable: 502,
  fence_busy: 503,
  enforcement_stale: 503,
  unavailable: 503,
} as const satisfies Record<string, number>;

export type ProblemCode = keyof typeof PROBLEM_STATUS;

/** What a client may read of an error. `detail` says what to do next. */
export interface Problem {
  type: `urn:sever:problem:${ProblemCode}`;
  title: string;
  status: number;
  code: ProblemCode;
  detail: string;
  kill_id?: string;
  /** The refusal is for good: killed, not suspended. */
  terminal?: boolean;
  [member: string]: unknown;
}

export type ProblemExtras = Record<string, unknown> & { kill_id?: string; terminal?: boolean };

/** The one error that domain code throws to refuse something. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError';
  readonly status: number;

  constructor(
    readonly code: ProblemCode,
    detail: string,
    readonly extras: ProblemExtras = {},
    options?: ErrorOptions,
  ) {
    super(detail, options);
    this.status = PROBLEM_STATUS[code];
  }

  toProblem(): Problem {
    return problem(this.code, this.message, this.extras);
  }
}

/** Extras add members; they never replace the standard ones. */
export function problem(code: ProblemCode, detail: string, extras: ProblemExtras = {}): Problem {
  const standard = {
    type: `urn:sever:problem:${code}`,
    title: code.replaceAll('_', ' '),
    status: PROBLEM_STATUS[code],
    code,
    detail,
  } as const;
  // The first spread sets the order in which members are written, the last one their values.
  return { ...standard, ...extras, ...standard };
}
