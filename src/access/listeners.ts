import { Injectable } from '@nestjs/common';
import { isDatabaseAway } from '../database/reach';
import { Authenticator, bearer } from './authenticator';
import type { EnforcementPointPrincipal, Principal } from './principal';
import { hashSecretKey } from './secret-keys';

const REMEMBERED = 10_000;
/** An access key that this process has not seen to be valid for so long has to wait for the database. */
const KNOWN_FOR_MS = 3_600_000;

interface Known {
  readonly principal: EnforcementPointPrincipal;
  readonly at: number;
}

/**
 * Authenticates those who listen. Emergencies are told just when the database is away, so an enforcement point that was
 * heard shortly before may go on listening then: all that it learns is what to refuse.
 */
@Injectable()
export class Listeners {
  private readonly known = new Map<string, Known>();

  constructor(private readonly authenticator: Authenticator) {}

  async authenticate(rawHeaders: readonly string[]): Promise<Principal> {
    const hash = hashSecretKey(bearer(rawHeaders)).toString('base64url');
    try {
      // Who is known here is not kept waiting for a database that does not answer.
      const isKnown = this.known.has(hash);
      const principal = await this.authenticator.authenticate(rawHeaders, 'usual', isKnown);
      this.remember(hash, principal);
      return principal;
    } catch (error) {
      if (!isDatabaseAway(error)) {
        this.known.delete(hash);
        throw error;
      }
      const known = this.known.get(hash);
      if (known === undefined || performance.now() - known.at > KNOWN_FOR_MS) throw error;
      return known.principal;
    }
  }

  private remember(hash: string, principal: Principal): void {
    this.known.delete(hash);
    if (principal.kind !== 'enforcement_point' || principal.standing !== 'live') return;
    this.known.set(hash, { principal, at: performance.now() });
    if (this.known.size > REMEMBERED) this.known.delete(this.known.keys().next().value ?? '');
  }
}
