import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { ProblemError } from '@sever/protocol';
import { isDatabaseAway } from '../database/reach';
import { Authenticator } from './authenticator';
import { Listeners } from './listeners';
import { POLICY, type AuthenticatedRequest, type Policy } from './policy';
import type { Principal, RoleName } from './principal';

/** Global, and denies by default: who may call a route stands on the route; everything else is refused. */
@Injectable()
export class AccessGuard implements CanActivate {
  constructor(
    private readonly reflector: Reflector,
    private readonly authenticator: Authenticator,
    private readonly listeners: Listeners,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    if (context.getType() !== 'http') return true; // the live gateway authenticates its own handshake
    const policy = this.reflector.get<Policy | undefined>(POLICY, context.getHandler());
    if (policy === undefined)
      throw new ProblemError('forbidden', 'This route has no access policy.');
    if ('public' in policy) return true;
    const request = context.switchToHttp().getRequest<AuthenticatedRequest>();
    request.arrivedAt = performance.now();
    const lane = policy.stops ? 'kill' : 'usual';
    const { rawHeaders } = request.raw;
    const principal = policy.listens
      ? await this.listeners.authenticate(rawHeaders)
      : await this.authenticator.authenticate(rawHeaders, lane, policy.knownKeys);
    await this.authenticator
      .refuseDead(principal, policy.asksForAuthority ?? false, lane)
      .catch((error: unknown) => {
        throw policy.knownKeys && isDatabaseAway(error) ? withoutTheTree(error) : error;
      });
    if (!policy.roles.some((role) => holds(principal, role)))
      throw new ProblemError(
        'forbidden',
        `This call takes one of the roles ${policy.roles.join(', ')}; use a key that holds one.`,
      );
    refuseRevoked(principal, policy.listens ?? false);
    request.principal = principal;
    return true;
  }
}

/** What an agent may touch is read from the tree, and whether it still may. */
function withoutTheTree(cause: unknown): ProblemError {
  return new ProblemError(
    'unavailable',
    "The database cannot be reached, and an agent's token orders nothing without it. Use the bootstrap key, or the key of a person or a playbook.",
    {},
    { cause },
  );
}

function refuseRevoked(principal: Principal, listens: boolean): void {
  if (principal.kind !== 'enforcement_point' || principal.standing === 'live') return;
  if (listens && principal.standing === 'ending') return;
  throw new ProblemError(
    'enforcement_point_revoked',
    'This enforcement point has been revoked. It must refuse everything; to replace it, enrol with a new key pair.',
    { terminal: true },
  );
}

export function holds(principal: Principal, role: RoleName): boolean {
  switch (principal.kind) {
    case 'key':
      return principal.roles.has(role);
    case 'agent':
      return role === 'agent';
    case 'enforcement_point':
      return role === 'enforcement_point';
    case 'enroller':
      return role === 'enroller';
  }
}
