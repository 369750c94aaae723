/**
 * What orders reach. sever_tops: for each subject the agents at which its subtrees begin; everything below them is reached
 * as well. sever_plan: the living agents that a kill would stop now, counted and hashed.
 *
 * Locks: none of its own; inside sever_revoke it runs under the exclusive fence, so that nothing is born between the
 * measure and the kill. Walks parent_id with UNION (never CYCLE), O(size of the tree): only called for orders that name a plan
 * or a bound, and by previews.
 */
export const planSql = [
  `CREATE OR REPLACE FUNCTION sever_tops(p_tenant text, p_subjects jsonb) RETURNS SETOF text
   LANGUAGE sql STABLE AS $$
     WITH named AS (SELECT s->>'kind' AS kind, s->>'id' AS id FROM jsonb_array_elements(p_subjects) s)
     SELECT a.id FROM named JOIN agent a ON a.tenant = p_tenant AND a.id = named.id WHERE named.kind = 'agent'
     UNION
     SELECT a.id FROM named JOIN agent a ON a.tenant = p_tenant AND a.initiator_id = named.id AND a.parent_id IS NULL
     WHERE named.kind = 'initiator'
     UNION
     SELECT a.id FROM named JOIN agent a ON a.tenant = p_tenant AND a.service_id = named.id AND a.parent_id IS NULL
     WHERE named.kind = 'service'
     UNION
     SELECT a.id FROM named JOIN agent a ON a.tenant = p_tenant AND a.parent_id IS NULL
     WHERE named.kind = 'tenant' AND named.id = p_tenant
     UNION
     SELECT a.id FROM named JOIN agent a ON a.tenant = p_tenant AND a.task_id = named.id
     LEFT JOIN agent p ON p.tenant = p_tenant AND p.id = a.parent_id
     WHERE named.kind = 'task' AND p.task_id IS DISTINCT FROM named.id
     UNION
     SELECT a.id FROM named
     JOIN agent a ON a.tenant = p_tenant
       AND a.labels @> jsonb_build_object(split_part(named.id, ':', 1), substr(named.id, strpos(named.id, ':') + 1))
     LEFT JOIN agent p ON p.tenant = p_tenant AND p.id = a.parent_id
     WHERE named.kind = 'label'
       AND NOT coalesce(p.labels @> jsonb_build_object(split_part(named.id, ':', 1), substr(named.id, strpos(named.id, ':') + 1)), false)
   $$`,

  // Living agents: not dead, not ended, not past their time.
  `CREATE OR REPLACE FUNCTION sever_reach(p_tenant text, p_subjects jsonb) RETURNS SETOF agent
   LANGUAGE sql STABLE AS $$
     WITH RECURSIVE reached(id) AS (
       SELECT sever_tops(p_tenant, p_subjects)
       UNION
       SELECT a.id FROM reached r JOIN agent a ON a.tenant = p_tenant AND a.parent_id = r.id
     )
     SELECT a.* FROM reached JOIN agent a ON a.tenant = p_tenant AND a.id = reached.id
     LEFT JOIN LATERAL sever_agent_denial(a.tenant, a.id, a.lin_subjects, a.lin_generations) d ON true
     WHERE a.completed_at IS NULL AND a.expires_at > now() AND d.action IS DISTINCT FROM 'kill'
       AND d.action IS DISTINCT FROM 'complete'
   $$`,

  /*
   * The hash covers the subjects and the living agents, and for credentials and grants the subjects alone: tokens are
   * renewed all the time, and a plan that each renewal changes could never be carried out.
   */
  `CREATE OR REPLACE FUNCTION sever_plan(p_tenant text, p_only boolean, p_subjects jsonb) RETURNS jsonb
   LANGUAGE sql STABLE AS $$
     SELECT jsonb_build_object('agents', count(r.id), 'plan_hash', sever_base64url(sha256(convert_to(
       p_only::text || '|'
       || (SELECT string_agg((s->>'kind') || ':' || (s->>'id'), ',' ORDER BY s->>'kind', s->>'id') FROM jsonb_array_elements(p_subjects) s)
       || '|' || coalesce(string_agg(r.id, ',' ORDER BY r.id), ''), 'UTF8'))))
     FROM sever_reach(p_tenant, p_subjects) r
   $$`,
];
