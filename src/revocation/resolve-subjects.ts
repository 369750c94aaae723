import { Injectable } from '@nestjs/common';
import { isId, ProblemError, type SubjectAsked, type SubjectRef } from '@sever/protocol';
import { TokenAuthenticator } from '../access/token-authenticator';
import { nearestNames } from './nearest-names';
import type { Order, Resolved } from './order';
import { COUNTED, SubjectStore } from './subject.store';

/** Kinds that an order may name before anybody has seen them. */
const NEED_NOT_BE_KNOWN = new Set(['initiator', 'label', 'tool', 'upstream']);

export type ResolvedSubjects = Required<Pick<Order, 'subjects' | 'not_found' | 'warnings'>> &
  Pick<Order, 'resolved' | 'matched' | 'nearest'>;

/**
 * From what an order names to subjects that the database knows: a token to its credential, a human to an initiator, a ref or
 * a trace to the agents that carry it. Whatever is named by id passes through untouched, without a look at the database.
 */
@Injectable()
export class ResolveSubjects {
  constructor(
    private readonly store: SubjectStore,
    private readonly tokens: TokenAuthenticator,
  ) {}

  /** @throws ProblemError `bad_subject` for a token that is not ours, `too_wide` for a ref of more than 1,000 trees */
  async resolve(tenant: string, asked: readonly SubjectAsked[]): Promise<ResolvedSubjects> {
    const subjects: SubjectRef[] = [];
    const resolved: Resolved[] = [];
    const not_found: SubjectRef[] = [];
    const warnings: string[] = [];
    for (const one of asked) {
      const found = await this.one(tenant, one, warnings);
      if (found.length === 0) not_found.push(nameOf(one));
      subjects.push(...found);
      if (found.length !== 1 || !isSame(one, found[0] as SubjectRef))
        resolved.push({ asked: withoutToken(one), subjects: found });
    }
    return {
      subjects,
      not_found,
      warnings,
      ...(resolved.length > 0 && { resolved }),
      ...(await this.matches(tenant, asked, subjects)),
    };
  }

  private async one(
    tenant: string,
    asked: SubjectAsked,
    warnings: string[],
  ): Promise<SubjectRef[]> {
    if ('token' in asked) return this.token(tenant, asked.token);
    if (asked.kind === 'initiator') return this.initiator(tenant, asked, warnings);
    const id = (asked as SubjectRef).id;
    if (asked.kind === 'ref') {
      const colon = id.indexOf(':');
      return agents(await this.store.topsWithRef(tenant, id.slice(0, colon), id.slice(colon + 1)));
    }
    if (asked.kind === 'trace') return agents(await this.inTrace(tenant, id));
    return [{ kind: asked.kind, id }];
  }

  /** Agents that were spawned in the trace, and those that have made calls in it; none that lies below another one. */
  private async inTrace(tenant: string, trace: string): Promise<string[]> {
    const [spawned, callers] = await Promise.all([
      this.store.topsInTrace(tenant, trace),
      this.store.callersInTrace(tenant, trace),
    ]);
    const found = new Set([...spawned, ...callers.map(({ id }) => id)]);
    const isTop = ({ id, chain }: { id: string; chain: readonly string[] }): boolean =>
      !chain.some((above) => above !== id && found.has(above));
    return [...new Set([...spawned, ...callers.filter(isTop).map(({ id }) => id)])];
  }

  private async token(tenant: string, token: string): Promise<SubjectRef[]> {
    const credential = await this.tokens.credentialOf(tenant, token);
    if (credential === null)
      throw new ProblemError(
        'bad_subject',
        'subject.token: not a token that this control plane has issued to this tenant; name its agent or credential by id.',
      );
    return [{ kind: 'credential', id: credential }];
  }

  /**
   * A human without an issuer means the identity that no issuer vouches for; if nobody knows that one, everybody of that name,
   * whoever vouches: at an incident the wider reading is the safe one, and the reply says whom it took.
   */
  private async initiator(
    tenant: string,
    asked: SubjectAsked,
    warnings: string[],
  ): Promise<SubjectRef[]> {
    const named = 'subject' in asked ? asked : 'id' in asked ? asked.id : '';
    if (typeof named === 'string' && isId('initiator', named))
      return [{ kind: 'initiator', id: named }];
    const { subject, issuer } =
      typeof named === 'string' ? { subject: named, issuer: undefined } : named;
    const known = await this.store.initiators(tenant, subject, issuer);
    const own = known.find((one) => one.issuer === (issuer ?? ''));
    if (own !== undefined && known.length > 1) warnings.push('same_name_under_other_issuers');
    const taken = own === undefined ? known : [own];
    if (taken.length > 0) return taken.map(({ id }) => ({ kind: 'initiator', id }));
    return [
      { kind: 'initiator', id: await this.store.createInitiator(tenant, subject, issuer ?? '') },
    ];
  }

  private async matches(
    tenant: string,
    asked: readonly SubjectAsked[],
    subjects: readonly SubjectRef[],
  ): Promise<Pick<Order, 'matched' | 'nearest'>> {
    const open = subjects.filter(({ kind }) => NEED_NOT_BE_KNOWN.has(kind));
    if (open.length === 0) return {};
    let matched = 0;
    for (const subject of open) matched += await this.store.matched(tenant, subject);
    if (matched > 0) return { matched };
    const nearest = new Set<string>();
    for (const one of asked.filter(({ kind }) => NEED_NOT_BE_KNOWN.has(kind)))
      for (const name of nearestNames(nameOf(one).id, await this.store.names(tenant, one.kind)))
        nearest.add(name);
    return { matched, nearest: [...nearest] };
  }
}

function agents(ids: readonly string[]): SubjectRef[] {
  if (ids.length > COUNTED)
    throw new ProblemError(
      'too_wide',
      `subject: more than ${COUNTED} trees carry it; kill the initiator, the task or a label instead.`,
    );
  return ids.map((id) => ({ kind: 'agent', id }));
}

/** What a reply may show of what was named: never a token. */
function withoutToken(asked: SubjectAsked): unknown {
  return 'token' in asked ? { kind: 'token' } : asked;
}

function nameOf(asked: SubjectAsked): SubjectRef {
  if ('token' in asked) return { kind: 'token', id: '' };
  if ('subject' in asked) return { kind: 'initiator', id: asked.subject };
  return { kind: asked.kind, id: typeof asked.id === 'string' ? asked.id : asked.id.subject };
}

function isSame(asked: SubjectAsked, found: SubjectRef): boolean {
  return 'id' in asked && asked.kind === found.kind && asked.id === found.id;
}
