import { Injectable } from '@nestjs/common';
import { KEY_ROLES, ProblemError } from '@sever/protocol';
import { isDatabaseAway, within } from '../database/reach';
import { RefusalCount } from '../lineage/refusal-count';
import { AccessStore, type KeyRow, type Lane } from './access.store';
import { LentKeys } from './lent-keys';
import { KnownKeys, type KnownKey } from './known-keys';
import type { KeyPrincipal, KeyRole, Principal, RoleName } from './principal';
import { hashSecretKey } from './secret-keys';
import { TokenAuthenticator, unauthenticated } from './token-authenticator';

/** A bootstrap key's role in the table; it stands for all of them, and for enrolling. */
export const BOOTSTRAP_ROLE = 'bootstrap';
const EVERY_ROLE: ReadonlySet<RoleName> = new Set([...KEY_ROLES, 'enroller']);
const MAX_KEY_LENGTH = 256;
/** A caller is told after this that the database does not answer. */
const ANSWER_WITHIN_MS = 2_500;
/** Where known keys are enough: the rest of a second is for what comes after. */
const ASK_WITHIN_MS = 600;
const LOOKS_LIKE_JWT = /^eyJ[\w-]*\.[\w-]*\.[\w-]*$/;

/** Turns the `Authorization` header into a principal. Every failure looks the same from outside. */
@Injectable()
export class Authenticator {
  constructor(
    private readonly store: AccessStore,
    private readonly tokens: TokenAuthenticator,
    private readonly refusals: RefusalCount,
    private readonly knownKeys: KnownKeys,
    private readonly lentKeys: LentKeys,
  ) {}

  /**
   * @param rawHeaders as Node gives them (name, value, name, value…), so that a doubled header is seen.
   * @param known a key that was valid when last seen is enough while the database is away
   */
  async authenticate(rawHeaders: readonly string[], lane: Lane, known = false): Promise<Principal> {
    return this.authenticateBearer(bearer(rawHeaders), lane, known);
  }

  async authenticateBearer(
    secret: string,
    lane: Lane = 'usual',
    known = false,
  ): Promise<Principal> {
    if (LOOKS_LIKE_JWT.test(secret)) return this.tokens.authenticate(secret);
    if (secret.length > MAX_KEY_LENGTH) throw unauthenticated();
    const hash = hashSecretKey(secret);
    const lent = this.lentKeys.find(hash);
    if (lent !== undefined) return lent;
    const row = await this.ask(hash, lane, known);
    if (row !== undefined && 'confirmed_at' in row) return keyPrincipal(row);
    if (!row?.valid) throw unauthenticated();
    // Beside the request: an order to stop must not wait for a note, nor fail with it. The next use tries again.
    if (row.stale_use) void this.store.touch(row).catch(() => undefined);
    if (row.source === 'enrolment')
      return { kind: 'enroller', tenant: row.tenant, id: row.id, name: row.name };
    if (row.source === 'access')
      return {
        ...{ kind: 'enforcement_point', tenant: row.tenant, id: row.id, name: row.name },
        standing: row.standing,
      };
    return keyPrincipal(row);
  }

  /** @throws ProblemError `unavailable` when the database is away and the key is not known, or may not be enough. */
  private async ask(
    hash: Buffer,
    lane: Lane,
    known: boolean,
  ): Promise<KeyRow | KnownKey | undefined> {
    try {
      const asked = this.store.keyByHash(hash, lane);
      const row = await within(known ? ASK_WITHIN_MS : ANSWER_WITHIN_MS, asked);
      this.knownKeys.confirm(hash, row);
      return row;
    } catch (error) {
      if (!isDatabaseAway(error)) throw error;
      const key = known ? this.knownKeys.find(hash) : undefined;
      if (key !== undefined) return key;
      throw new ProblemError(
        'unavailable',
        known
          ? 'The database cannot be reached, and this key is none of those that can order a stop without it. Use the bootstrap key, or the key of a person or a playbook.'
          : 'The database cannot be reached; try again in a second.',
        {},
        { cause: error },
      );
    }
  }

  /** A dead agent is refused here, by the database, before any route sees it. */
  async refuseDead(principal: Principal, asksForAuthority: boolean, lane: Lane): Promise<void> {
    if (principal.kind !== 'agent') return;
    const denial = await this.store.denialOf(
      principal.tenant,
      [...principal.lineage.map(([subject]) => subject), `signing_key:${principal.signingKey}`],
      [...principal.lineage.map(([, generation]) => generation), 1],
      lane,
    );
    if (!denial) return;
    if (denial.action === 'complete' && asksForAuthority)
      throw new ProblemError(
        'agent_ended',
        'This agent has completed; nothing more is issued to it.',
      );
    this.refusals.add(principal.tenant, denial.order_id);
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

function keyPrincipal(
  row: Pick<KeyRow, 'tenant' | 'id' | 'owner_id' | 'name' | 'role'>,
): KeyPrincipal {
  return {
    kind: 'key',
    tenant: row.tenant,
    id: row.owner_id,
    keyId: row.id,
    name: row.name,
    roles: row.role === BOOTSTRAP_ROLE ? EVERY_ROLE : new Set([row.role as KeyRole]),
  };
}

export function bearer(rawHeaders: readonly string[]): string {
  const found = rawHeaders.filter(
    (_, at) => at % 2 === 1 && rawHeaders[at - 1]?.toLowerCase() === 'authorization',
  );
  const match = found.length === 1 ? /^Bearer ([\x21-\x7e]+)$/i.exec(found[0] as string) : null;
  if (!match) throw unauthenticated();
  return match[1] as string;
}
