import { Injectable } from '@nestjs/common';
import { isId, ProblemError, type SubjectAsked, type SubjectRef } from '@sever/protocol';
import { TokenAuthenticator } from '../../access/token-authenticator';
import type { Order, Resolved } from '../order';

/** An order as it can be announced: every subject by what stands in tokens. */
export interface Named {
  readonly subjects: string[];
  readonly order: Order;
  readonly warnings: string[];
}

/** Stand on the wire as they are named, whatever the database says of them. */
const AS_NAMED = new Set([
  ...['agent', 'credential', 'task', 'grant', 'service', 'label', 'tenant', 'tool', 'upstream'],
  ...['enforcement_point', 'enrolment_key', 'signing_key'],
]);

/** What fits a message once with the names and once more inside the sealed order, each in base64. */
const MAX_NAMES_BYTES = 40_000;

/**
 * From what an order names to what enforcement points deny, without the database. What only the database can tell (who a
 * human is, which agents carry a ref) is refused with the way out.
 */
@Injectable()
export class NameSubjects {
  constructor(private readonly tokens: TokenAuthenticator) {}

  /** @throws ProblemError `unavailable` for what cannot be named, or depends on a condition that nobody can check now */
  async name(
    tenant: string,
    terms: Omit<Order, 'subjects'>,
    asked: readonly SubjectAsked[],
  ): Promise<Named> {
    refuseConditions(terms);
    const subjects = new Set<string>();
    const refs: SubjectRef[] = [];
    const resolved: Resolved[] = [];
    const warnings = new Set<string>();
    for (const one of asked) {
      const ref = await this.one(tenant, one, terms.only, subjects, warnings);
      refs.push(ref);
      if ('token' in one) resolved.push({ asked: { kind: 'token' }, subjects: [ref] });
    }
    if (Buffer.byteLength([...subjects].join()) > MAX_NAMES_BYTES)
      throw cannot(
        'all of this must go in one message, for which it is too long; send it in parts',
      );
    if (terms.level !== undefined && terms.level !== 'deny_all') warnings.add('denies_everything');
    if (terms.in_flight === 'drain') warnings.add('aborts_in_flight');
    return {
      subjects: [...subjects],
      warnings: [...warnings],
      order: { ...terms, subjects: refs, ...(resolved.length > 0 && { resolved }) },
    };
  }

  private async one(
    tenant: string,
    asked: SubjectAsked,
    only: boolean,
    subjects: Set<string>,
    warnings: Set<string>,
  ): Promise<SubjectRef> {
    if ('token' in asked) return this.token(tenant, asked.token, only, subjects);
    const { kind } = asked;
    const id = 'id' in asked && typeof asked.id === 'string' ? asked.id : '';
    if (kind === 'initiator' && !isId('initiator', id))
      throw cannot(
        'a human can only be named by their ini_… id; name that, or an agent, a task or a service',
      );
    if (kind === 'tenant' && id !== tenant)
      throw cannot('only the tenant of the key itself can be named');
    if (kind !== 'initiator' && !AS_NAMED.has(kind))
      throw cannot(`a ${kind} cannot be looked up; name an agent, a task, a label or a service`);
    if (kind === 'credential' && !only) warnings.add('derived_credentials_not_covered');
    subjects.add(`${kind}:${id}`);
    return { kind, id };
  }

  /** A token says itself what it comes from: its whole family can be denied. */
  private async token(
    tenant: string,
    token: string,
    only: boolean,
    subjects: Set<string>,
  ): Promise<SubjectRef> {
    const claims = await this.tokens.claimsOf(tenant, token);
    if (claims === null)
      throw cannot('the token cannot be verified; name its agent or credential by id');
    const family = claims.lin.find(([subject]) => subject.startsWith('family:'));
    subjects.add(only || family === undefined ? `credential:${claims.jti}` : family[0]);
    return { kind: 'credential', id: claims.jti };
  }
}

function refuseConditions({ if_plan_hash, max_agents }: Omit<Order, 'subjects'>): void {
  if (if_plan_hash !== undefined || max_agents !== undefined)
    throw cannot(
      'if_plan_hash and max_agents cannot be checked; leave them out to stop it all the same',
    );
}

function cannot(why: string): ProblemError {
  return new ProblemError(
    'unavailable',
    `The database cannot be reached, and without it ${why}. If the order was committed nevertheless, the same Idempotency-Key finds it later.`,
  );
}
