import { Injectable } from '@nestjs/common';
import type { KillPlan, SubjectRef } from '@sever/protocol';
import { KillPool } from '../database/kill-pool';
import type { OrderCaller } from './order';

const LISTED = 500;

type PlanRead = Pick<KillPlan, 'counts' | 'agents' | 'keep_another_lineage' | 'plan_hash'>;

@Injectable()
export class PlanStore {
  constructor(private readonly pool: KillPool) {}

  /** Is there such a subject, and may the caller name it? The same questions as in the order's own transaction. */
  async standing(
    tenant: string,
    action: string,
    only: boolean,
    { kind, id }: SubjectRef,
    caller: OrderCaller,
  ): Promise<'known' | 'unknown' | 'not_yours'> {
    const [row] = await this.pool.read<{
      may: boolean;
      known: boolean;
      service: string | null;
      path: string[] | null;
    }>(
      `SELECT sever_may_name($6, $2, $4) AS may, r.wire IS NOT NULL AS known, r.service_id AS service, r.path
       FROM (SELECT 1) one LEFT JOIN LATERAL sever_resolve($1, $2, $3, $4, $5) r ON true`,
      [tenant, action, only, kind, id, caller.kind],
    );
    if (!row?.may) return 'not_yours';
    if (!row.known) return 'unknown';
    if (caller.kind === 'service' && row.service !== caller.service_id) return 'not_yours';
    if (caller.kind === 'agent' && !row.path?.includes(`agent:${caller.agent_id}`))
      return 'not_yours';
    return 'known';
  }

  /** One reading, so that counts, list and hash are of one moment. */
  async read(tenant: string, only: boolean, subjects: readonly SubjectRef[]): Promise<PlanRead> {
    const [row] = await this.pool.read<{
      plan: { agents: number; plan_hash: string };
      credentials: number;
      grants: number;
      agents: PlanRead['agents'] | null;
      keep: PlanRead['keep_another_lineage'] | null;
    }>(PLAN, [tenant, only, JSON.stringify(subjects)]);
    if (row === undefined) throw new Error('a plan was not answered');
    return {
      counts: {
        agents: Number(row.plan.agents),
        credentials: Number(row.credentials),
        grants: Number(row.grants),
      },
      agents: row.agents ?? [],
      keep_another_lineage: row.keep ?? [],
      plan_hash: row.plan.plan_hash,
    };
  }
}

const PLAN = `
  WITH reached AS MATERIALIZED (SELECT * FROM sever_reach($1, $3)),
  named AS (SELECT s->>'kind' AS kind, s->>'id' AS id FROM jsonb_array_elements($3::jsonb) s),
  held AS MATERIALIZED (
    SELECT c.id, c.agent_id FROM reached r JOIN credential c ON c.tenant = $1 AND c.agent_id = r.id AND c.expires_at > now()
    UNION
    SELECT member.id, member.agent_id FROM named
    JOIN credential c ON c.tenant = $1 AND c.id = named.id AND named.kind = 'credential'
    JOIN credential member ON member.tenant = $1 AND member.expires_at > now()
      AND CASE WHEN $2::boolean THEN member.id = c.id ELSE member.family_id = c.family_id END
    UNION
    SELECT c.id, c.agent_id FROM named JOIN scope_grant g ON g.tenant = $1 AND g.id = named.id AND named.kind = 'grant'
    JOIN credential c ON c.tenant = $1 AND c.agent_id = g.agent_id AND c.expires_at > now()
      AND 'grant:' || g.id = ANY (c.own_subjects)
  )
  SELECT sever_plan($1, $2, $3) AS plan,
    (SELECT count(*) FROM held) AS credentials,
    (SELECT count(*) FROM scope_grant g WHERE g.tenant = $1
      AND (g.agent_id IN (SELECT id FROM reached) OR g.id IN (SELECT id FROM named WHERE kind = 'grant'))) AS grants,
    (SELECT jsonb_agg(jsonb_build_object('id', a.id, 'name', a.name, 'parent_id', a.parent_id, 'depth', a.depth,
        'state', CASE WHEN d.action = 'suspend' THEN 'suspended' ELSE 'active' END, 'initiator', i.subject)
        ORDER BY a.depth, a.id)
     FROM (SELECT * FROM reached ORDER BY depth, id LIMIT ${LISTED}) a
     JOIN initiator i ON i.tenant = $1 AND i.id = a.initiator_id
     LEFT JOIN LATERAL sever_agent_denial($1, a.id, a.lin_subjects, a.lin_generations) d ON true) AS agents,
    (SELECT jsonb_agg(DISTINCT jsonb_build_object('id', other.id, 'name', other.name))
     FROM held JOIN credential derived ON derived.tenant = $1 AND derived.derived_from = held.id AND derived.expires_at > now()
     JOIN agent other ON other.tenant = $1 AND other.id = derived.agent_id AND other.completed_at IS NULL
     LEFT JOIN LATERAL sever_agent_denial($1, other.id, other.lin_subjects, other.lin_generations) d ON true
     WHERE other.id NOT IN (SELECT id FROM reached) AND other.expires_at > now() AND d.action IS DISTINCT FROM 'kill'
       AND other.id NOT IN (SELECT agent_id FROM held WHERE agent_id IS NOT NULL)) AS keep`;
