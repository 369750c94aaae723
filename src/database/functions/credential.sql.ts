/**
 * The one place that writes a credential, for spawn and mint alike: the caller holds the fence and has checked that the
 * agent lives. Returns what the token must say. Its life ends with the agent's, and within 15 minutes.
 */
export const credentialSql = [
  // Keeps the tenant's issue clock ahead of p_now. A row that is ahead already is only read, so mints do not queue here.
  `CREATE OR REPLACE FUNCTION sever_note_issue(p_tenant text, p_now timestamptz) RETURNS void
   LANGUAGE plpgsql VOLATILE AS $$
   BEGIN
     IF EXISTS (SELECT FROM issue_clock WHERE tenant = p_tenant AND high >= p_now) THEN RETURN; END IF;
     INSERT INTO issue_clock AS c (tenant, high) VALUES (p_tenant, p_now + interval '10 seconds')
     ON CONFLICT (tenant) DO UPDATE SET high = greatest(c.high, excluded.high);
   END $$`,

  /*
   * The time that an order's floors are dated with: not before any credential was issued. Enforcement points drop a floor
   * a token's longest life after its date; were the clock set back between a mint and its kill, the floor would go first.
   */
  `CREATE OR REPLACE FUNCTION sever_order_time(p_tenant text) RETURNS timestamptz
   LANGUAGE sql VOLATILE AS $$
     SELECT greatest(clock_timestamp(), (SELECT high FROM issue_clock WHERE tenant = p_tenant))
   $$`,

  `CREATE OR REPLACE FUNCTION sever_issue(
     p_agent agent, p_credential_id text, p_family_id text, p_family_generation bigint, p_derived_from text,
     p_scopes text[], p_audience text, p_use text, p_ttl_seconds double precision, p_now timestamptz) RETURNS jsonb
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     own_s text[];
     own_g bigint[];
     issued bigint := floor(extract(epoch FROM p_now));
     expires bigint;
   BEGIN
     expires := least(issued + floor(p_ttl_seconds), floor(extract(epoch FROM p_agent.expires_at)));
     own_s := ARRAY['agent:' || p_agent.id, 'grant:' || p_agent.base_grant_id,
                    'family:' || p_family_id, 'credential:' || p_credential_id];
     own_g := ARRAY[sever_generation(p_agent.tenant, own_s[1]), sever_generation(p_agent.tenant, own_s[2]),
                    p_family_generation, 1];
     PERFORM sever_note_issue(p_agent.tenant, p_now);
     INSERT INTO credential (tenant, id, agent_id, family_id, derived_from, own_subjects, own_generations, scopes,
                             audience, use, issued_at, expires_at)
     VALUES (p_agent.tenant, p_credential_id, p_agent.id, p_family_id, p_derived_from, own_s, own_g, p_scopes,
             p_audience, p_use, to_timestamp(issued), to_timestamp(expires));
     RETURN jsonb_build_object(
       'id', p_credential_id, 'agent_id', p_agent.id, 'scopes', to_jsonb(p_scopes), 'audience', p_audience, 'use', p_use,
       'issued_at', issued, 'expires_at', expires,
       'kid', (SELECT k.kid FROM signing_key k WHERE k.tenant = p_agent.tenant AND k.purpose = 'token' AND k.state = 'live'),
       'subjects', to_jsonb(p_agent.lin_subjects || own_s), 'generations', to_jsonb(p_agent.lin_generations || own_g));
   END $$`,

  // Refuses when the caller, an ancestor, the agent itself or its base grant, which each credential of it carries, is dead or
  // has ended; NULL when all of them live.
  `DROP FUNCTION IF EXISTS sever_refuse_dead(agent, text[], bigint[], timestamptz)`,

  `CREATE OR REPLACE FUNCTION sever_refuse_dead(
     p_agent agent, p_caller_subjects text[], p_caller_generations bigint[], p_now timestamptz, p_for text) RETURNS jsonb
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE dead record;
   BEGIN
     SELECT d.* INTO dead FROM sever_denial(
       p_agent.tenant,
       p_agent.lin_subjects || ARRAY['agent:' || p_agent.id, 'grant:' || p_agent.base_grant_id]
         || coalesce(p_caller_subjects, '{}'),
       p_agent.lin_generations || sever_generation(p_agent.tenant, 'agent:' || p_agent.id)
         || sever_generation(p_agent.tenant, 'grant:' || p_agent.base_grant_id)
         || coalesce(p_caller_generations, '{}'), p_for) d;
     IF FOUND AND dead.action = 'kill' THEN
       RETURN jsonb_build_object('problem', 'ancestor_revoked', 'kill_id', dead.order_id, 'subject', dead.subject);
     END IF;
     IF (FOUND AND dead.action = 'complete') OR p_agent.completed_at IS NOT NULL OR p_agent.expires_at <= p_now THEN
       RETURN jsonb_build_object('problem', 'agent_ended', 'agent_id', p_agent.id);
     END IF;
     IF dead.action = 'suspend' THEN
       RETURN jsonb_build_object('problem', 'ancestor_suspended', 'kill_id', dead.order_id, 'subject', dead.subject);
     END IF;
     RETURN NULL;
   END $$`,
];
