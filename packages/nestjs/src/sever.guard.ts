import { Inject, Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import {
  bearerToken,
  EnforcementPoint,
  NO_TOKEN,
  recordCall,
  RefusedError,
} from '@sever/enforcement';
import { contextOf } from './context-of';
import { GuardedCall } from './guarded-call';
import { rawHttp } from './raw-http';

/**
 * Lets an agent through whose token holds here and now; without `@Tool` or `@Scope` that is all it asks. What it lets
 * through stays in flight until its response has ended, and is cut at the kill.
 */
@Injectable()
export class SeverGuard implements CanActivate {
  constructor(
    @Inject(EnforcementPoint) private readonly point: EnforcementPoint,
    @Inject(Reflector) private readonly reflector: Reflector,
  ) {}

  /** @throws RefusedError */
  async canActivate(execution: ExecutionContext): Promise<boolean> {
    const http = rawHttp(execution);
    // Guards of the class and of the method read the same decorators.
    if (GuardedCall.of(http.request) !== undefined) return true;
    const { point, reflector } = this;
    const places = [execution.getHandler(), execution.getClass()];
    const context = contextOf((key) => reflector.getAllAndOverride(key, places));
    const startedAt = point.now();
    const token = bearerToken(http.request);
    const admitted = token === undefined ? NO_TOKEN : await point.admit(token, context);
    if (admitted.decision === 'deny') {
      recordCall(point, { decision: admitted, context, startedAt, outcome: 'refused' });
      throw new RefusedError(admitted);
    }
    new GuardedCall({ ...http, point, admitted, context, startedAt });
    return true;
  }
}
