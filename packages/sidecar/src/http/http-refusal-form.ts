import type { Problem } from '@sever/protocol';
import type { RefusalForm } from '../relay/refusal-form';

/**
 * A refusal as `application/problem+json`, with an `error` member beside, which is where the SDKs of model providers
 * look for what they show. A stream of events ends with the same as an event `error`.
 */
export const HTTP_REFUSAL_FORM: RefusalForm = {
  contentType: 'application/problem+json',
  body: (problem) => JSON.stringify(withError(problem)),
  lastEvent: (problem) => `event: error\ndata: ${JSON.stringify(withError(problem))}\n\n`,
};

function withError(problem: Problem): object {
  const { status, code, detail } = problem;
  return { ...problem, error: { type: errorType(status), code, message: detail } };
}

/** The names that providers give to errors of this status. */
function errorType(status: number): string {
  switch (status) {
    case 401:
      return 'authentication_error';
    case 403:
      return 'permission_error';
    case 404:
      return 'not_found_error';
    case 413:
      return 'request_too_large';
    default:
      return status < 500 ? 'invalid_request_error' : 'api_error';
  }
}
