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
      /** While the database is away, a key that was valid when it was last seen is enough here. */
      readonly knownKeys?: boolean;
      /**
       * An enforcement point hears and answers here: also while it is being killed, so that it can confirm that, and also
       * while the database is away.
       */
      readonly listens?: boolean;
    };

/** Declares who may call a route: `@Access('responder', 'lead')`. */
export const Access = (...roles: RoleName[]) => SetMetadata(POLICY, { roles } satisfies Policy);

/** A route by which an agent asks for new authority: spawn, mint. */
export const AccessForAuthority = (...roles: RoleName[]) =>
  SetMetadata(POLICY, { roles, asksForAuthority: true } satisfies Policy);

/** A route by which something is stopped. */
export const AccessToStop = (...roles: RoleName[]) =>
  SetMetadata(POLICY, { roles, stops: true, knownKeys: true } satisfies Policy);

/** A route by which an order to stop is followed; it answers without the database too. */
export const AccessToFollow = (...roles: RoleName[]) =>
  SetMetadata(POLICY, { roles, knownKeys: true } satisfies Policy);

/** A route by which an enforcement point hears what to refuse, and answers. */
export const AccessToListen = (role: 'enforcement_point') =>
  SetMetadata(POLICY, { roles: [role], listens: true } satisfies Policy);

/** Anybody may call it: health, public keys, documents. */
export const Public = () => SetMetadata(POLICY, { public: true } satisfies Policy);

/** Roles that read everything of their tenant. */
export const READERS = ['responder', 'lead', 'auditor', 'playbook', 'admin'] as const;

export interface AuthenticatedRequest extends FastifyRequest {
  principal?: Principal;
  /** Monotonic milliseconds of this process when the request was taken up: what its deadlines count from. */
  arrivedAt?: number;
}

/** The verified caller. */
export const Caller = createParamDecorator((_: unknown, context: ExecutionContext): Principal => {
  const { principal } = context.switchToHttp().getRequest<AuthenticatedRequest>();
  if (principal === undefined)
    throw new Error('a route without a verified principal asked for one');
  return principal;
});
