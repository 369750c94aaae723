import { JWS_CONTENT_TYPE, ProblemError } from '@sever/protocol';

/** The body as one signed message; whether its signature holds is for others to say. @throws ProblemError */
export function readJws(body: unknown): string {
  if (typeof body === 'string' && body !== '') return body.trimEnd();
  throw new ProblemError('bad_request', `Send the signed message itself, as ${JWS_CONTENT_TYPE}.`);
}
