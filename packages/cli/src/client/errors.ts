import type { ProblemBody } from '@sever/protocol';

/** A problem as it was received. `code` may be newer than this client. */
export type ReceivedProblem = ReturnType<typeof ProblemBody.parse>;

/** Base of everything that {@link SeverClient} throws. */
export abstract class SeverClientError extends Error {
  abstract readonly code: string;
}

/** The control plane refused the request. `problem.detail` says what to do next. */
export class ProblemResponseError extends SeverClientError {
  override readonly name = 'ProblemResponseError';
  readonly code: string;
  readonly status: number;

  constructor(
    readonly problem: ReceivedProblem,
    /** Milliseconds that the server asked to wait, from `Retry-After`. */
    readonly retryAfterMs: number | null = null,
  ) {
    super(`${problem.code}: ${problem.detail}`);
    this.code = problem.code;
    this.status = problem.status;
  }
}

/** No complete answer came back. */
export class ConnectionError extends SeverClientError {
  override readonly name = 'ConnectionError';
  readonly code = 'unreachable';

  constructor(
    message: string,
    /** The request may have been carried out: the connection broke after it was open, or no answer came in time. */
    readonly maybeDone: boolean,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A success whose body is not what the public interface promises. */
export class UnexpectedReplyError extends SeverClientError {
  override readonly name = 'UnexpectedReplyError';
  readonly code = 'unexpected_reply';
}
