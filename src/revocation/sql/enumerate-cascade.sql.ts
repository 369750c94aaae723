/**
 * The enumeration of a cascade, in batches that a crash may interrupt anywhere. It is for the record, the consoles and
 * the filters of lists; the kill itself is in force before the first batch.
 *
 * Locks: the order's advisory lock, so that one replica enumerates it at a time. No fence: after the commit of the kill
 * nothing can be spawned or minted under it, so what is found is all there is. Each batch expands members that have not
 * been expanded yet, level by level along parent_id.
 */
export const TRY_CLAIM = `SELECT pg_try_advisory_xact_lock(sever_lock_key($1, 'cascade:' || $2)) AS claimed`;

/** The first members, by what the order names. Completions end an agent's own credentials and nothing below it. */
export const START = `
  WITH ord AS (
    UPDATE revocation SET cascade_state = 'running'
    WHERE tenant = $1 AND id = $2 AND cascade_state = 'pending' RETURNING action, subjects
  ), named AS (
    SELECT ord.action, s->>'kind' AS kind, s->>'id' AS id FROM ord, jsonb_array_elements(ord.subjects) s
  ), family AS (
    SELECT DISTINCT member.id, member.agent_id FROM named
    JOIN credential c ON c.tenant = $1 AND c.id = named.id AND named.kind = 'credential'
    JOIN credential member ON member.tenant = $1 AND member.family_id = c.family_id
    WHERE EXISTS (
      SELECT FROM standing_kill k WHERE k.tenant = $1 AND k.order_id = $2
        AND k.subject IN ('family:' || member.family_id, 'credential:' || member.id)
      UNION ALL
      SELECT FROM suspension u WHERE u.tenant = $1 AND u.order_id = $2
        AND u.subject IN ('family:' || member.family_id, 'credential:' || member.id))
  ), listed AS (
    UPDATE agent a SET listed_state = 'completed' FROM named
    WHERE a.tenant = $1 AND a.listed_state = 'active' AND named.action = 'complete' AND named.kind = 'task'
      AND 'task:' || named.id = ANY (a.lin_subjects)
  )
  INSERT INTO cascade_member (tenant, order_id, kind, member_id, agent_id, expanded)
  SELECT $1, $2, 'agent', top, top, false FROM ord, sever_tops($1, ord.subjects) top WHERE ord.action <> 'complete'
  UNION
  SELECT $1, $2, 'agent', a.id, a.id, true
  FROM named JOIN agent a ON a.tenant = $1 AND named.action = 'complete' AND (
    (named.kind = 'agent' AND a.id = named.id) OR (named.kind = 'task' AND 'task:' || named.id = ANY (a.lin_subjects)))
  UNION
  SELECT $1, $2, 'credential', family.id, family.agent_id, true FROM family
  UNION
  SELECT $1, $2, 'grant', g.id, g.agent_id, true
  FROM named JOIN scope_grant g ON g.tenant = $1 AND g.id = named.id AND named.kind = 'grant'
  UNION
  SELECT $1, $2, 'credential', c.id, c.agent_id, true
  FROM named JOIN scope_grant g ON g.tenant = $1 AND g.id = named.id AND named.kind = 'grant'
  JOIN credential c ON c.tenant = $1 AND c.agent_id = g.agent_id AND 'grant:' || g.id = ANY (c.own_subjects)
  UNION
  SELECT $1, $2, 'credential', c.id, c.agent_id, true
  FROM named JOIN credential c ON c.tenant = $1 AND c.agent_id = named.id AND named.kind = 'agent' AND named.action = 'complete'
  UNION
  SELECT $1, $2, 'credential', c.id, c.agent_id, true
  FROM named JOIN agent a ON a.tenant = $1 AND named.action = 'complete' AND named.kind = 'task' AND 'task:' || named.id = ANY (a.lin_subjects)
  JOIN credential c ON c.tenant = $1 AND c.agent_id = a.id
  ON CONFLICT DO NOTHING`;

/**
 * Expands up to $3 members, and no more than together have about $3 children: a thousand agents may have a thousand each,
 * and what they all add in one statement would run into every time limit, again and again. At least one is expanded.
 * Returns how many; 0 = done.
 */
export const EXPAND_BATCH = `
  WITH todo AS (
    SELECT member_id, place FROM (
      SELECT m.member_id, m.place, sum(coalesce(q.children, 0)) OVER w - coalesce(q.children, 0) AS before
      FROM (
        SELECT member_id, ctid AS place FROM cascade_member
        WHERE tenant = $1 AND order_id = $2 AND kind = 'agent' AND NOT expanded
        ORDER BY member_id LIMIT $3
      ) m LEFT JOIN agent_quota q ON q.tenant = $1 AND q.agent_id = m.member_id
      WINDOW w AS (ORDER BY m.member_id)
    ) counted WHERE before <= $3
  ), children AS (
    INSERT INTO cascade_member (tenant, order_id, kind, member_id, agent_id)
    SELECT $1, $2, 'agent', a.id, a.id FROM todo JOIN agent a ON a.tenant = $1 AND a.parent_id = todo.member_id
    ON CONFLICT DO NOTHING
  ), credentials AS (
    INSERT INTO cascade_member (tenant, order_id, kind, member_id, agent_id, expanded)
    SELECT $1, $2, 'credential', c.id, c.agent_id, true
    FROM todo JOIN credential c ON c.tenant = $1 AND c.agent_id = todo.member_id
    ON CONFLICT DO NOTHING
  ), listed AS (
    -- A suspension is not listed there: it ends without anybody walking the tree again.
    UPDATE agent a SET listed_state = 'killed' FROM todo
    WHERE a.tenant = $1 AND a.id = todo.member_id AND a.listed_state <> 'killed'
      AND EXISTS (SELECT FROM revocation r WHERE r.tenant = $1 AND r.id = $2 AND r.action = 'kill'
        AND NOT (r.reinstated IS NOT NULL AND r.subjects @> jsonb_build_array(jsonb_build_object('kind', 'agent', 'id', a.id))))
  ), done AS (
    -- By place: the planner, which knows nothing yet of rows that have only just come, would look through all members of
    -- the order for each of these. Nobody else moves them, because one replica at a time enumerates an order.
    UPDATE cascade_member m SET expanded = true WHERE m.ctid = ANY (ARRAY (SELECT place FROM todo))
    RETURNING 1
  )
  SELECT count(*)::int AS expanded FROM done`;

export const FINISH = `
  UPDATE revocation SET cascade_state = 'done',
    cascade_agents = (SELECT count(*) FROM cascade_member WHERE tenant = $1 AND order_id = $2 AND kind = 'agent'),
    cascade_credentials = (SELECT count(*) FROM cascade_member WHERE tenant = $1 AND order_id = $2 AND kind = 'credential')
  WHERE tenant = $1 AND id = $2 AND cascade_state = 'running'`;

/** Orders whose enumeration a crash left behind. */
export const LEFT_BEHIND = `SELECT tenant, id FROM revocation WHERE cascade_state <> 'done' ORDER BY id LIMIT 1000`;
