import { Injectable } from '@nestjs/common';
import { KEY_ROLES, ProblemError } from '@sever/protocol';
import { AccessStore, type Lane } from './access.store';
import type { KeyPrincipal, KeyRole, Principal, RoleName } from './principal';
import { hashSecretKey } from './secret-keys';
import { TokenAuthenticator, unauthenticated } from './token-authenticator';

/** A bootstrap key's role in the table; it stands for all of them, and for enrolling. */
export const BOOTSTRAP_ROLE = 'bootstrap';
const EVERY_ROLE: ReadonlySet<RoleName> = new Set([...KEY_ROLES, 'enroller']);
const MAX_KEY_LENGTH = 256;
const LOOKS_LIKE_JWT = /^eyJ[\w-]*\.[\w-]*\.[\w-]*$/;

/** Turns the `Authorization` header into a principal. Every failure looks the same from outside. */
@Injectable()
export class Authenticator {
  constructor(
    private readonly store: AccessStore,
    private readonly tokens: TokenAuthenticator,
  ) {}

  /** @param rawHeaders as Node gives them (name, value, name, value…), so that a doubled header is seen. */
  async authenticate(rawHeaders: readonly string[], lane: Lane): Promise<Principal> {
    return this.authenticateBearer(bearer(rawHeaders), lane);
  }

  async authenticateBearer(secret: string, lane: Lane = 'usual'): Promise<Principal> {
    if (LOOKS_LIKE_JWT.test(secret)) return this.tokens.authenticate(secret);
    if (secret.length > MAX_KEY_LENGTH) throw unauthenticated();
    const row = await this.store.keyByHash(hashSecretKey(secret), lane);
    if (!row?.valid) throw unauthenticated();
    // Beside the request: an order to stop must not wait for a note, nor fail with it. The next use tries again.
    if (row.stale_use) void this.store.touch(row).catch(() => undefined);
    if (row.source === 'enrolment')
      return { kind: 'enroller', tenant: row.tenant, id: row.id, name: row.name };
    if (row.source === 'access')
      return { kind: 'enforcement_point', tenant: row.tenant, id: row.id, name: row.name };
    return {
      kind: 'key',
      tenant: row.tenant,
      id: row.owner_id,
      keyId: row.id,
      name: row.name,
      roles: row.role === BOOTSTRAP_ROLE ? EVERY_ROLE : new Set([row.role as KeyRole]),
    } satisfies KeyPrincipal;
  }

  /** A dead agent is refused here, by the database, before any route sees it. */
  async refuseDead(principal: Principal, asksForAuthority: boolean, lane: Lane): Promise<void> {
    if (principal.kind !== 'agent') return;
    const denial = await this.store.denialOf(
      principal.tenant,
      principal.lineage.map(([subject]) => subject),
      principal.lineage.map(([, generation]) => generation),
      lane,
    );
    if (!denial) return;
    if (denial.action === 'complete' && asksForAuthority)
      throw new ProblemError(
        'agent_ended',
        'This agent has completed; nothing more is issued to it.',
      );
    const suspended = denial.action === 'suspend';
    const code = asksForAuthority
      ? suspended
        ? 'ancestor_suspended'
        : 'ancestor_revoked'
      : suspended
        ? 'agent_suspended'
        : 'agent_revoked';
    throw new ProblemError(
      code,
      suspended
        ? 'The agent, or one it comes from, is suspended; wait until that is lifted.'
        : 'The agent, or one it comes from, has been revoked; stop, and do not try again.',
      { kill_id: denial.order_id, terminal: !suspended },
    );
  }
}

function bearer(rawHeaders: readonly string[]): string {
  const found = rawHeaders.filter(
    (_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === 'authorization',
  );
  const match = found.length === 1 ? /^Bearer ([\x21-\x7e]+)$/i.exec(found[0] as string) : null;
  if (!match) throw unauthenticated();
  return match[1] as string;
}
