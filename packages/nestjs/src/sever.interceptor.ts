import {
  Injectable,
  type CallHandler,
  type ExecutionContext,
  type NestInterceptor,
} from '@nestjs/common';
import type { Observable } from 'rxjs';
import { GuardedCall } from './guarded-call';
import { rawHttp } from './raw-http';

/** Ties the handler to its call: the agent has its refusal at the kill, whether or not the handler has noticed. */
@Injectable()
export class SeverInterceptor implements NestInterceptor {
  intercept(execution: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (execution.getType() !== 'http') return next.handle();
    return GuardedCall.of(rawHttp(execution).request)?.run(next.handle()) ?? next.handle();
  }
}
