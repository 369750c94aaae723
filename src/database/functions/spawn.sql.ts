/**
 * Spawns an agent and issues its first credential, in one call, so that a frozen replica cannot hold the fence between
 * two round trips.
 *
 * Locks: the fence, shared, on the tree, and on every tenant, service, initiator, task and label of the lineage; the
 * parent's quota row. Isolation: each statement below the fence reads with a new snapshot, so the check sees every kill
 * that was granted the fence before. Returns {"problem": code, …} and has written nothing, or the agent and credential.
 */
export const spawnSql = [
  `CREATE OR REPLACE FUNCTION sever_spawn(p jsonb) RETURNS jsonb
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     t text := p->>'tenant';
     parent agent;
     born agent;
     fresh text[] := ARRAY(SELECT jsonb_array_elements_text(p->'fresh_subjects'));
     caller_s text[] := ARRAY(SELECT jsonb_array_elements_text(p->'caller_subjects'));
     caller_g bigint[] := ARRAY(SELECT jsonb_array_elements_text(p->'caller_generations')::bigint);
     refused jsonb;
     dead record;
     ts timestamptz;
     life double precision := (p->>'ttl_seconds')::double precision;
     credential jsonb;
   BEGIN
     PERFORM set_config('app.tenant', t, true), set_config('lock_timeout', '400ms', true);
     IF p->>'parent_id' IS NOT NULL THEN
       SELECT * INTO parent FROM agent WHERE tenant = t AND id = p->>'parent_id';
       IF NOT FOUND THEN RETURN jsonb_build_object('problem', 'not_found'); END IF;
       PERFORM sever_fence_shared(t, ARRAY['agent:' || parent.root_id] || fresh
         || ARRAY(SELECT s FROM unnest(parent.lin_subjects) s WHERE s NOT LIKE 'agent:%'));
       -- A new snapshot: the row as it is now that no kill can pass.
       SELECT * INTO parent FROM agent WHERE tenant = t AND id = parent.id;
       ts := clock_timestamp();
       refused := sever_refuse_dead(parent, caller_s, caller_g, ts, 'spawn');
       IF refused IS NOT NULL THEN RETURN refused; END IF;
       born.parent_id := parent.id;
       born.root_id := parent.root_id;
       born.depth := parent.depth + 1;
       born.service_id := parent.service_id;
       born.initiator_id := parent.initiator_id;
       born.task_id := coalesce(p->>'task_id', parent.task_id);
       born.lin_subjects := parent.lin_subjects || ('agent:' || parent.id);
       born.lin_generations := parent.lin_generations || sever_generation(t, 'agent:' || parent.id);
       born.labels := parent.labels || (p->'labels');
       born.expires_at := ts + make_interval(secs => coalesce(life, 86400));
       IF born.expires_at > parent.expires_at THEN
         -- A second of grace: the caller reckoned the remainder before we did.
         IF life IS NOT NULL AND born.expires_at > parent.expires_at + interval '1 second' THEN
           RETURN jsonb_build_object('problem', 'bad_ttl', 'remaining_seconds',
             greatest(0, floor(extract(epoch FROM parent.expires_at - ts))));
         END IF;
         born.expires_at := parent.expires_at;
       END IF;
     ELSE
       fresh := ARRAY['tenant:' || t, 'service:' || (p->>'service_id'), 'initiator:' || (p->>'initiator_id')] || fresh;
       PERFORM sever_fence_shared(t, ARRAY['agent:' || (p->>'id')] || fresh);
       ts := clock_timestamp();
       SELECT h.order_id, h.until INTO dead FROM root_hold h
       WHERE h.tenant = t AND h.service_id = p->>'service_id' AND h.initiator_id = p->>'initiator_id' AND h.until > ts
       ORDER BY h.until DESC LIMIT 1;
       IF FOUND THEN
         RETURN jsonb_build_object('problem', 'ancestor_suspended', 'kill_id', dead.order_id,
           'subject', 'initiator:' || (p->>'initiator_id'), 'held_until', dead.until);
       END IF;
       born.root_id := p->>'id';
       born.depth := 0;
       born.service_id := p->>'service_id';
       born.initiator_id := p->>'initiator_id';
       born.task_id := p->>'task_id';
       born.lin_subjects := '{}';
       born.lin_generations := '{}';
       born.labels := p->'labels';
       born.expires_at := ts + make_interval(secs => coalesce(life, 86400));
     END IF;

     -- Subjects new to the path enter with the generation they have now; those that are dead refuse the birth.
     born.lin_generations := born.lin_generations || ARRAY(SELECT sever_generation(t, s) FROM unnest(fresh) s);
     born.lin_subjects := born.lin_subjects || fresh;
     SELECT d.* INTO dead FROM sever_denial(t, born.lin_subjects, born.lin_generations, 'spawn') d;
     IF FOUND THEN
       RETURN jsonb_build_object('problem', CASE dead.action WHEN 'suspend' THEN 'ancestor_suspended' ELSE 'ancestor_revoked' END,
                                 'kill_id', dead.order_id, 'subject', dead.subject);
     END IF;
     -- The first write: whatever refuses after it would use up a child that is never born.
     IF born.parent_id IS NOT NULL THEN
       UPDATE agent_quota SET children = children + 1
       WHERE tenant = t AND agent_id = parent.id AND children < parent.max_children;
       IF NOT FOUND THEN
         RETURN jsonb_build_object('problem', 'too_many_children', 'max_children', parent.max_children);
       END IF;
     END IF;

     born.tenant := t;
     born.id := p->>'id';
     born.name := p->>'name';
     born.scopes := ARRAY(SELECT jsonb_array_elements_text(p->'scopes'));
     born.base_grant_id := p->>'grant_id';
     born.refs := p->'refs';
     born.trace_id := p->>'trace_id';
     born.max_depth := (p->>'max_depth')::int;
     born.max_children := (p->>'max_children')::int;
     born.created_at := ts;
     born.listed_state := 'active';
     IF p->>'task_id' IS NOT NULL THEN
       INSERT INTO task (tenant, id, name, opened_by, root_id, created_at)
       VALUES (t, p->>'task_id', p->>'task_name', coalesce(born.parent_id, born.id), born.root_id, ts);
     END IF;
     INSERT INTO agent SELECT born.*;
     INSERT INTO agent_quota (tenant, agent_id) VALUES (t, born.id);
     INSERT INTO scope_grant (tenant, id, agent_id, task_id, scopes, base, created_at, expires_at)
     VALUES (t, born.base_grant_id, born.id, born.task_id, born.scopes, true, ts, born.expires_at);
     credential := sever_issue(born, p->>'credential_id', p->>'credential_id', 1, p->>'derived_from', born.scopes,
                               p->>'audience', NULL, 900, ts);
     PERFORM sever_audit(t, p->>'audit_id', 'spawn', jsonb_build_object(
       'actor', p->'actor', 'agent_id', born.id, 'parent_id', born.parent_id, 'initiator_id', born.initiator_id,
       'credential_id', p->>'credential_id'));
     RETURN jsonb_build_object('agent', to_jsonb(born), 'credential', credential);
   END $$`,
];
