/**
 * What an order's subject is on the wire, which lock of the fence it takes, and on whose right it may be touched. No row
 * when there is no such subject; labels, tools and upstreams need not be known. Reads columns that never change, and
 * whether a completion has happened.
 */
export const resolveSql = [
  `DROP FUNCTION IF EXISTS sever_resolve(text, text, boolean, text, text)`,

  `CREATE OR REPLACE FUNCTION sever_resolve(p_tenant text, p_action text, p_only boolean, p_kind text, p_id text)
   RETURNS TABLE (wire text, lock_subject text, owner_id text, service_id text, initiator_id text, path text[],
                  generations bigint[], ended boolean)
   LANGUAGE plpgsql VOLATILE ROWS 1 AS $$
   BEGIN
     IF p_kind = 'agent' THEN
       RETURN QUERY SELECT CASE p_action WHEN 'complete' THEN 'grant:' || a.base_grant_id ELSE 'agent:' || a.id END,
         'agent:' || a.root_id, a.id, a.service_id, a.initiator_id, a.lin_subjects || ('agent:' || a.id), a.lin_generations,
         p_action = 'complete' AND a.completed_at IS NOT NULL
       FROM agent a WHERE a.tenant = p_tenant AND a.id = p_id;
     ELSIF p_kind = 'credential' THEN
       RETURN QUERY SELECT CASE WHEN p_only THEN 'credential:' || c.id ELSE 'family:' || c.family_id END,
         'agent:' || a.root_id, a.id, a.service_id, a.initiator_id, a.lin_subjects || ('agent:' || a.id), a.lin_generations, false
       FROM credential c JOIN agent a ON a.tenant = c.tenant AND a.id = c.agent_id
       WHERE c.tenant = p_tenant AND c.id = p_id;
     ELSIF p_kind = 'grant' THEN
       RETURN QUERY SELECT 'grant:' || g.id, 'agent:' || a.root_id, a.id, a.service_id, a.initiator_id,
         a.lin_subjects || ('agent:' || a.id), a.lin_generations, false
       FROM scope_grant g JOIN agent a ON a.tenant = g.tenant AND a.id = g.agent_id
       WHERE g.tenant = p_tenant AND g.id = p_id;
     ELSIF p_kind = 'task' THEN
       RETURN QUERY SELECT 'task:' || k.id, 'task:' || k.id, a.id, a.service_id, a.initiator_id,
         a.lin_subjects || ('agent:' || a.id), a.lin_generations, p_action = 'complete' AND k.completed_at IS NOT NULL
       FROM task k JOIN agent a ON a.tenant = k.tenant AND a.id = k.opened_by
       WHERE k.tenant = p_tenant AND k.id = p_id;
     ELSIF p_kind IN ('label', 'tool', 'upstream')
        OR (p_kind = 'tenant' AND p_id = p_tenant)
        OR (p_kind = 'initiator' AND EXISTS (SELECT FROM initiator i WHERE i.tenant = p_tenant AND i.id = p_id))
        OR (p_kind = 'service' AND EXISTS (SELECT FROM principal s WHERE s.tenant = p_tenant AND s.id = p_id))
        OR (p_kind = 'signing_key' AND EXISTS (SELECT FROM signing_key k WHERE k.tenant = p_tenant AND k.kid = p_id))
        OR (p_kind = 'enforcement_point' AND EXISTS (SELECT FROM enforcement_point e WHERE e.tenant = p_tenant AND e.id = p_id))
        OR (p_kind = 'enrolment_key' AND EXISTS (SELECT FROM enrolment_key e WHERE e.tenant = p_tenant AND e.id = p_id)) THEN
       RETURN QUERY SELECT p_kind || ':' || p_id, p_kind || ':' || p_id, NULL::text, NULL::text, NULL::text, NULL::text[],
         NULL::bigint[], false;
     END IF;
   END $$`,

  // Without a generation at an enforcement point: a kill of it travels as a suspension, its reinstatement as a lift.
  `CREATE OR REPLACE FUNCTION sever_has_generation(p_wire text) RETURNS boolean
   LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
     SELECT split_part(p_wire, ':', 1) NOT IN ('enforcement_point', 'enrolment_key', 'signing_key', 'tool', 'upstream')
   $$`,

  // What an agent's token or a service's key may order at all; on whose trees, is checked beside it.
  `CREATE OR REPLACE FUNCTION sever_may_name(p_caller text, p_action text, p_kind text) RETURNS boolean
   LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
     SELECT CASE p_caller
       WHEN 'agent' THEN p_kind IN ('agent', 'credential', 'grant') OR (p_kind = 'task' AND p_action = 'complete')
       WHEN 'service' THEN p_kind IN ('agent', 'credential', 'grant', 'task')
       ELSE true END
   $$`,
];
