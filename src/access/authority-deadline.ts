import {
  Injectable,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { ProblemError } from '@sever/protocol';
import { throwError, timeout, type Observable } from 'rxjs';
import { POLICY, type Policy } from './policy';

const ANSWER_WITHIN_MS = 5_000;

/**
 * Whoever asks for new authority is refused in bounded time when the database is silent. A spawn or mint that it carries
 * out afterwards gives nobody anything: the token is made here, for the caller who is gone.
 */
@Injectable()
export class AuthorityDeadline implements NestInterceptor {
  constructor(private readonly reflector: Reflector) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const policy = this.reflector.get<Policy | undefined>(POLICY, context.getHandler());
    if (policy === undefined || 'public' in policy || !policy.asksForAuthority)
      return next.handle();
    return next
      .handle()
      .pipe(timeout({ first: ANSWER_WITHIN_MS, with: () => throwError(() => unanswered()) }));
  }
}

function unanswered(): ProblemError {
  return new ProblemError(
    'unavailable',
    'The database does not answer, and nothing is issued without it; try again in a second.',
  );
}
