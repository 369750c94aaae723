/**
 * Why a lineage is dead: the first pair below its floor, a kill before a completion; else the first standing
 * suspension; no row when it lives. The same rule as `DenialView` at an enforcement point, over the same pairs.
 * p_for: 'act' (mint, kill), which only deny_all takes; 'spawn', which deny_spawn and deny_writes take as well; 'list',
 * where a suspension counts whatever its level. A level that is not known takes everything.
 *
 * Locks: none. Isolation: VOLATILE, so that inside another function it reads with a snapshot of its own statement.
 */
export const denialSql = [
  `DROP FUNCTION IF EXISTS sever_agent_denial(text, text, text[], bigint[])`,
  `DROP FUNCTION IF EXISTS sever_denial(text, text[], bigint[])`,

  `CREATE OR REPLACE FUNCTION sever_denial(
     p_tenant text, p_subjects text[], p_generations bigint[], p_for text DEFAULT 'act')
   RETURNS TABLE (subject text, order_id text, action text, level text)
   LANGUAGE sql VOLATILE ROWS 1 AS $$
     SELECT found.subject, found.order_id, found.action, found.level FROM (
       SELECT s.subject, s.floor_order AS order_id, s.floor_action AS action, NULL::text AS level,
              CASE s.floor_action WHEN 'complete' THEN 2 ELSE 1 END AS rank, pair.ord
       FROM unnest(p_subjects, p_generations) WITH ORDINALITY AS pair(subject, generation, ord)
       JOIN subject s ON s.tenant = p_tenant AND s.subject = pair.subject
       WHERE pair.generation < s.floor
       UNION ALL
       SELECT u.subject, u.order_id, 'suspend', u.level, 3, pair.ord
       FROM unnest(p_subjects) WITH ORDINALITY AS pair(subject, ord)
       JOIN suspension u ON u.tenant = p_tenant AND u.subject = pair.subject AND u.lifted_at IS NULL
       WHERE CASE p_for
               WHEN 'list' THEN true
               WHEN 'spawn' THEN coalesce(u.level, 'deny_all') NOT LIKE 'deny\\_tools:[%'
               ELSE coalesce(u.level, 'deny_all') NOT IN ('deny_spawn', 'deny_writes')
                    AND coalesce(u.level, 'deny_all') NOT LIKE 'deny\\_tools:[%' END
     ) found ORDER BY found.rank, found.ord LIMIT 1
   $$`,

  `CREATE OR REPLACE FUNCTION sever_generation(p_tenant text, p_subject text) RETURNS bigint
   LANGUAGE sql VOLATILE AS $$
     SELECT coalesce((SELECT generation FROM subject WHERE tenant = p_tenant AND subject = p_subject), 1)
   $$`,

  // An agent is dead when its own generation is below its own floor, or any pair of its lineage is.
  // As lists and records show it.
  `CREATE OR REPLACE FUNCTION sever_agent_denial(p_tenant text, p_id text, p_subjects text[], p_generations bigint[])
   RETURNS TABLE (subject text, order_id text, action text, level text)
   LANGUAGE sql VOLATILE ROWS 1 AS $$
     SELECT d.* FROM sever_denial(
       p_tenant,
       p_subjects || ('agent:' || p_id),
       p_generations || sever_generation(p_tenant, 'agent:' || p_id), 'list') d
   $$`,
];
