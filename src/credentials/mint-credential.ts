import { Injectable } from '@nestjs/common';
import {
  DEFAULT_AUDIENCE,
  MAX_TOKEN_SECONDS,
  newId,
  ProblemError,
  type IssuedCredential,
  type MintRequest,
} from '@sever/protocol';
import { actorOf, callerPairs } from '../access/actor';
import type { AgentPrincipal, KeyPrincipal } from '../access/principal';
import { Failpoints } from '../config/failpoints';
import { isRefusal, refused, type SqlRefusal } from '../lineage/refusal';
import { RefusalCount } from '../lineage/refusal-count';
import { readScopes, requireCovered } from '../lineage/scopes';
import { CredentialStore } from './credential.store';
import { TokenIssuer, type CredentialRow } from './token-issuer';

/** Mints a short-lived credential for a living agent: the agent itself asks, or the service that started its tree. */
@Injectable()
export class MintCredential {
  constructor(
    private readonly store: CredentialStore,
    private readonly tokens: TokenIssuer,
    private readonly failpoints: Failpoints,
    private readonly refusals: RefusalCount,
  ) {}

  async mint(
    by: KeyPrincipal | AgentPrincipal,
    agentId: string,
    asked: MintRequest,
  ): Promise<IssuedCredential> {
    this.refuseStranger(by, agentId);
    const ttl = readTtl(asked.ttl_seconds);
    const serviceId = by.kind === 'key' ? by.id : null;
    const held = await this.store.agentScopes(by.tenant, agentId, serviceId);
    if (held === undefined) throw refused({ problem: 'not_found' });
    const scopes = asked.scopes === undefined ? held : readScopes(asked.scopes);
    requireCovered(held, scopes, 'scope_exceeds_agent');

    await this.failpoints.hit('mint.before_commit');
    const answer = await this.store.mint({
      tenant: by.tenant,
      agent_id: agentId,
      service_id: serviceId,
      ...callerPairs(by),
      ...this.family(by),
      credential_id: newId('credential'),
      audit_id: newId('audit'),
      scopes,
      audience: asked.audience ?? DEFAULT_AUDIENCE,
      use: asked.use ?? null,
      ttl_seconds: ttl,
      actor: actorOf(by),
    });
    if (isRefusal(answer)) {
      this.refusals.add(by.tenant, answer.kill_id);
      throw refused(answer);
    }
    await this.failpoints.hit('mint.after_commit');
    return this.tokens.issue(by.tenant, answer.credential);
  }

  private refuseStranger(by: KeyPrincipal | AgentPrincipal, agentId: string): void {
    if (by.kind !== 'agent') return;
    if (by.toolsOnly)
      throw new ProblemError(
        'forbidden',
        "A token for tools only cannot mint; use the agent's own token.",
      );
    if (by.id !== agentId)
      throw new ProblemError(
        'forbidden',
        'An agent mints for itself alone; spawn a child to delegate.',
      );
  }

  /** What an agent mints with a credential lives and dies with that credential's family. */
  private family(by: KeyPrincipal | AgentPrincipal) {
    if (by.kind !== 'agent')
      return { family_id: null, family_generation: null, derived_from: null };
    const pair = by.lineage.find(([subject]) => subject === `family:${by.familyId}`);
    return {
      family_id: by.familyId,
      family_generation: pair?.[1] ?? 1,
      derived_from: by.credentialId,
    };
  }
}

/** @throws ProblemError `bad_ttl` */
function readTtl(seconds: number | undefined): number {
  if (seconds === undefined) return MAX_TOKEN_SECONDS;
  if (!(seconds >= 1 && seconds <= MAX_TOKEN_SECONDS))
    throw new ProblemError(
      'bad_ttl',
      `ttl_seconds: a token lives between 1 and ${MAX_TOKEN_SECONDS} seconds.`,
    );
  return seconds;
}

export type MintAnswer = SqlRefusal | { credential: CredentialRow };
