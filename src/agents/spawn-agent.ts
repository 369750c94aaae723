import { Injectable } from '@nestjs/common';
import {
  AGENT_LIFE_SECONDS,
  DEFAULT_AUDIENCE,
  MAX_CHILDREN,
  MAX_DEPTH,
  MAX_LABELS,
  MAX_REFS,
  newId,
  ProblemError,
  subjectOf,
  type SpawnReply,
  type SpawnRequest,
} from '@sever/protocol';
import { actorOf, callerPairs } from '../access/actor';
import type { AgentPrincipal, KeyPrincipal } from '../access/principal';
import { Failpoints } from '../config/failpoints';
import { TokenIssuer } from '../credentials/token-issuer';
import { isRefusal, refused } from '../lineage/refusal';
import { RefusalCount } from '../lineage/refusal-count';
import { readScopes, requireCovered } from '../lineage/scopes';
import { AgentStore, type InitiatorRow, type ParentRow } from './agent.store';
import { toAgent } from './agent-view';

/** Where the new agent stands: under an initiator as a root, or under the agent that calls. */
interface Placement {
  parent_id: string | null;
  service_id: string | null;
  initiator: InitiatorRow;
  limits: { depth: number; children: number };
}

/** Spawns an agent with its first credential. A child gets nothing that its parent lacks, and lives no longer. */
@Injectable()
export class SpawnAgent {
  constructor(
    private readonly store: AgentStore,
    private readonly tokens: TokenIssuer,
    private readonly failpoints: Failpoints,
    private readonly refusals: RefusalCount,
  ) {}

  /** @param trace `trace-id` of the call (W3C Trace Context), by which the agent can be found and stopped */
  async spawn(
    by: KeyPrincipal | AgentPrincipal,
    asked: SpawnRequest,
    trace: string | null = null,
  ): Promise<SpawnReply> {
    const scopes = readScopes(asked.scopes ?? []);
    refuseTooMany(asked);
    const ttl = readTtl(asked.ttl_seconds);
    const placement =
      by.kind === 'agent' ? await this.asChild(by, asked, scopes) : await this.asRoot(by, asked);
    const taskId = asked.task === undefined ? null : newId('task');
    const labels = asked.labels ?? {};

    await this.failpoints.hit('spawn.before_commit');
    const answer = await this.store.spawn({
      tenant: by.tenant,
      id: newId('agent'),
      name: asked.name,
      parent_id: placement.parent_id,
      service_id: placement.service_id,
      initiator_id: placement.initiator.initiator_id,
      ...callerPairs(by),
      derived_from: by.kind === 'agent' ? by.credentialId : null,
      task_id: taskId,
      task_name: asked.task?.name ?? null,
      fresh_subjects: [
        ...(taskId === null ? [] : [subjectOf('task', taskId)]),
        ...Object.entries(labels).map(([key, value]) => subjectOf('label', `${key}:${value}`)),
      ],
      scopes,
      labels,
      refs: asked.refs ?? {},
      trace_id: trace,
      ttl_seconds: ttl,
      max_depth: placement.limits.depth,
      max_children: placement.limits.children,
      grant_id: newId('grant'),
      credential_id: newId('credential'),
      audience: DEFAULT_AUDIENCE,
      audit_id: newId('audit'),
      actor: actorOf(by),
    });
    if (isRefusal(answer)) {
      this.refusals.add(by.tenant, answer.kill_id);
      throw refused(answer);
    }
    await this.failpoints.hit('spawn.after_commit');
    return {
      agent: toAgent({
        ...answer.agent,
        initiator_subject: placement.initiator.initiator_subject,
        initiator_issuer: placement.initiator.initiator_issuer,
        completed: false,
        expired: false,
        denial: null,
      }),
      credential: await this.tokens.issue(by.tenant, answer.credential),
    };
  }

  private async asRoot(by: KeyPrincipal, asked: SpawnRequest): Promise<Placement> {
    if (asked.initiator === undefined)
      throw new ProblemError(
        'bad_request',
        'initiator: say for whom this tree works, as {"subject": …}.',
      );
    return {
      parent_id: null,
      service_id: by.id,
      initiator: await this.store.upsertInitiator(by.tenant, asked.initiator),
      limits: readLimits(asked, MAX_DEPTH),
    };
  }

  private async asChild(
    by: AgentPrincipal,
    asked: SpawnRequest,
    scopes: readonly string[],
  ): Promise<Placement> {
    if (by.toolsOnly)
      throw new ProblemError(
        'forbidden',
        "A token for tools only cannot spawn; use the agent's own token.",
      );
    if (asked.initiator !== undefined)
      throw new ProblemError(
        'bad_request',
        "initiator: a child works for its parent's; leave it out.",
      );
    const parent = await this.store.parent(by.tenant, by.id);
    if (parent === undefined) throw refused({ problem: 'not_found' });
    requireCovered(parent.scopes, scopes, 'scope_exceeds_parent');
    requireRoomForLabels(parent, asked.labels ?? {});
    if (parent.depth >= parent.max_depth)
      throw new ProblemError(
        'too_deep',
        `The tree may be ${parent.max_depth} deep, and this agent stands there.`,
      );
    return {
      parent_id: by.id,
      service_id: null,
      initiator: parent,
      limits: readLimits(asked, parent.max_depth),
    };
  }
}

function refuseTooMany(asked: SpawnRequest): void {
  if (Object.keys(asked.labels ?? {}).length > MAX_LABELS)
    throw new ProblemError('too_many_labels', `labels: at most ${MAX_LABELS} on a path.`);
  if (Object.keys(asked.refs ?? {}).length > MAX_REFS)
    throw new ProblemError('unprocessable', `refs: at most ${MAX_REFS}.`);
}

/** Labels are inherited: a child may add some, and neither drop nor change any. */
function requireRoomForLabels(parent: ParentRow, added: Record<string, string>): void {
  const changed = Object.keys(added).find(
    (key) => key in parent.labels && parent.labels[key] !== added[key],
  );
  if (changed !== undefined)
    throw new ProblemError(
      'unprocessable',
      `labels: ${changed} is inherited and cannot be changed.`,
    );
  if (Object.keys({ ...parent.labels, ...added }).length > MAX_LABELS)
    throw new ProblemError(
      'too_many_labels',
      `labels: at most ${MAX_LABELS} on a path, inherited ones included.`,
    );
}

/** @throws ProblemError `bad_ttl` */
function readTtl(seconds: number | undefined): number | null {
  if (seconds === undefined) return null;
  if (!(seconds >= 1 && seconds <= 366 * AGENT_LIFE_SECONDS))
    throw new ProblemError(
      'bad_ttl',
      'ttl_seconds: an agent lives for at least one second and at most 366 days.',
    );
  return seconds;
}

/** @throws ProblemError `too_deep`, `too_many_children` */
function readLimits(asked: SpawnRequest, deepest: number): Placement['limits'] {
  const depth = asked.max_depth ?? deepest;
  if (!(Number.isInteger(depth) && depth >= 0 && depth <= deepest))
    throw new ProblemError(
      'too_deep',
      `max_depth: a whole number from 0 to ${deepest}, counted from the root.`,
    );
  const children = asked.max_children ?? MAX_CHILDREN;
  if (!(Number.isInteger(children) && children >= 0 && children <= MAX_CHILDREN))
    throw new ProblemError(
      'too_many_children',
      `max_children: a whole number from 0 to ${MAX_CHILDREN}.`,
    );
  return { depth, children };
}
