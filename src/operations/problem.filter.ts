import { Catch, Inject, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { ProblemCode } from '@sever/protocol';
import type { FastifyReply } from 'fastify';
import type { Logger } from 'pino';
import { LOG } from '../config/config.module';
import { PROBLEM_TYPE } from './framework-errors';
import { toProblem } from './problem';

const RETRY_AFTER: Partial<Record<ProblemCode, string>> = {
  fence_busy: '1',
  unavailable: '1',
  enforcement_stale: '1',
};

/** The one place where an error becomes an HTTP answer (RFC 9457). What an operator reads stays in the log. */
@Catch()
export class ProblemFilter implements ExceptionFilter {
  constructor(@Inject(LOG) private readonly log: Logger) {}

  catch(error: unknown, host: ArgumentsHost): void {
    const reply = host.switchToHttp().getResponse<FastifyReply>();
    const body = toProblem(error);
    if (body.status >= 500) this.log.error({ err: error }, 'a request failed');
    const retryAfter = RETRY_AFTER[body.code];
    if (retryAfter !== undefined) reply.header('retry-after', retryAfter);
    if (body.status === 401) reply.header('www-authenticate', 'Bearer');
    void reply.status(body.status).header('content-type', PROBLEM_TYPE).send(JSON.stringify(body));
  }
}
