import { refusal, type Logger } from '@sever/enforcement';
import { problem, ProblemError, type Problem, type ProblemCode } from '@sever/protocol';
import type { FastifyError, FastifyInstance, FastifyReply } from 'fastify';
import type { ServedUpstreams } from './served-upstreams';

export function sendProblem(reply: FastifyReply, of: Problem): FastifyReply {
  const { status, headers } = refusal(of);
  return reply
    .code(status)
    .headers(headers)
    .type('application/problem+json')
    .send(JSON.stringify(of));
}

/** Every error of the server's own routes leaves as `application/problem+json`. */
export function answerWithProblems(
  app: FastifyInstance,
  logger: Logger,
  served: Pick<ServedUpstreams, 'all'>,
): void {
  app.setErrorHandler((error: FastifyError | ProblemError, _request, reply) =>
    sendProblem(reply, problemOf(error, logger)),
  );
  app.setNotFoundHandler((request, reply) => {
    const path = request.raw.url?.split('?', 1)[0];
    if (!served.all.some(({ name }) => path === `/${name}`)) {
      return sendProblem(reply, problem('not_found', 'Nothing is served at this path'));
    }
    void reply.header('allow', 'GET, POST, DELETE');
    return sendProblem(reply, problem('method_not_allowed', 'MCP uses GET, POST and DELETE'));
  });
}

/** Errors of the server's framework by their status; their own text can quote the request, so it is not passed on. */
const BY_STATUS: Readonly<Record<number, [ProblemCode, string]>> = {
  400: ['bad_request', 'The request is malformed'],
  413: ['payload_too_large', 'The body is too large'],
  415: ['unsupported_media_type', 'The body is sent as application/json'],
  503: ['unavailable', 'This sidecar is stopping'],
};

function problemOf(error: FastifyError | ProblemError, logger: Logger): Problem {
  if (error instanceof ProblemError) return error.toProblem();
  const known = BY_STATUS[error.statusCode ?? 500];
  if (known !== undefined) return problem(known[0], known[1]);
  logger.error({ error: String(error) }, 'a request failed');
  return problem('internal', 'The sidecar failed; its log says why');
}
