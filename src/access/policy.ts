import { createParamDecorator, SetMetadata, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import type { Principal, RoleName } from './principal';

export const POLICY = 'sever:policy';

/** Who may call a route. A route without a policy stops the boot. */
export type Policy =
  | { readonly public: true }
  | {
      readonly roles: readonly RoleName[];
      /** A dead agent gets 409 here (it asks for new authority), 403 elsewhere. */
      readonly asksForAuthority?: boolean;
      /** An order to stop something: it does not queue behind agent traffic. */
      readonly stops?: boolean;
    };

/** Declares who may call a route: `@Access('responder', 'lead')`. */
export const Access = (...roles: RoleName[]) => SetMetadata(POLICY, { roles } satisfies Policy);

/** A route by which an agent asks for new authority: spawn, mint. */
export const AccessForAuthority = (...roles: RoleName[]) =>
  SetMetadata(POLICY, { roles, asksForAuthority: true } satisfies Policy);

/** A route by which something is stopped. */
export const AccessToStop = (...roles: RoleName[]) =>
  SetMetadata(POLICY, { roles, stops: true } satisfies Policy);

/** Anybody may call it: health, public keys, documents. */
export const Public = () => SetMetadata(POLICY, { public: true } satisfies Policy);

/** Roles that read everything of their tenant. */
export const READERS = ['responder', 'lead', 'auditor', 'playbook', 'admin'] as const;

export interface AuthenticatedRequest extends FastifyRequest {
  principal?: Principal;
}

/** The verified caller. */
export const Caller = createParamDecorator((_: unknown, context: ExecutionContext): Principal => {
  const { principal } = context.switchToHttp().getRequest<AuthenticatedRequest>();
  if (principal === undefined)
    throw new Error('a route without a verified principal asked for one');
  return principal;
});
