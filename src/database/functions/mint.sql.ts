/**
 * Mints a credential for a living agent. Locks and isolation as for a spawn: the fence, shared, then the check with a
 * new snapshot. A credential minted with another one joins its family; one that the service mints founds a new family.
 */
export const mintSql = [
  `CREATE OR REPLACE FUNCTION sever_mint(p jsonb) RETURNS jsonb
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     t text := p->>'tenant';
     target agent;
     caller_s text[] := ARRAY(SELECT jsonb_array_elements_text(p->'caller_subjects'));
     caller_g bigint[] := ARRAY(SELECT jsonb_array_elements_text(p->'caller_generations')::bigint);
     refused jsonb;
     ts timestamptz;
     credential jsonb;
   BEGIN
     PERFORM set_config('app.tenant', t, true), set_config('lock_timeout', '400ms', true);
     SELECT * INTO target FROM agent WHERE tenant = t AND id = p->>'agent_id';
     IF NOT FOUND OR target.service_id <> coalesce(p->>'service_id', target.service_id) THEN
       RETURN jsonb_build_object('problem', 'not_found');
     END IF;
     PERFORM sever_fence_shared(t, ARRAY['agent:' || target.root_id]
       || ARRAY(SELECT s FROM unnest(target.lin_subjects) s WHERE s NOT LIKE 'agent:%'));
     SELECT * INTO target FROM agent WHERE tenant = t AND id = target.id;
     ts := clock_timestamp();
     refused := sever_refuse_dead(target, caller_s, caller_g, ts, 'act');
     IF refused IS NOT NULL THEN RETURN refused; END IF;
     credential := sever_issue(
       target, p->>'credential_id', coalesce(p->>'family_id', p->>'credential_id'),
       coalesce((p->>'family_generation')::bigint, 1), p->>'derived_from',
       coalesce(ARRAY(SELECT jsonb_array_elements_text(nullif(p->'scopes', 'null'))), '{}'),
       p->>'audience', p->>'use', (p->>'ttl_seconds')::double precision, ts);
     PERFORM sever_audit(t, p->>'audit_id', 'mint', jsonb_build_object(
       'actor', p->'actor', 'agent_id', target.id, 'credential_id', p->>'credential_id'));
     RETURN jsonb_build_object('credential', credential);
   END $$`,
];
