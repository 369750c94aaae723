/**
 * Kills an agent that is born for it, in a tenant that exists only inside, and takes everything back. A connection that
 * has rehearsed finds its functions compiled and its plans made, which otherwise takes longer than the first kill itself.
 *
 * Locks: those of a spawn and a kill, on rows and keys that nobody else can name.
 */
export const rehearseSql = [
  `CREATE OR REPLACE FUNCTION sever_rehearse(p_id text) RETURNS void
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE outcome jsonb;
   BEGIN
     PERFORM set_config('app.tenant', p_id, true);
     INSERT INTO tenant (id, name) VALUES (p_id, p_id);
     INSERT INTO stream_head (tenant) VALUES (p_id);
     INSERT INTO principal (tenant, id, role, name) VALUES (p_id, p_id, 'service', p_id);
     INSERT INTO initiator (tenant, id, subject) VALUES (p_id, p_id, p_id);
     PERFORM sever_spawn(jsonb_build_object(
       'tenant', p_id, 'id', p_id, 'name', p_id, 'service_id', p_id, 'initiator_id', p_id, 'fresh_subjects', '[]'::jsonb,
       'caller_subjects', '[]'::jsonb, 'caller_generations', '[]'::jsonb, 'scopes', '[]'::jsonb, 'labels', '{}'::jsonb,
       'refs', '{}'::jsonb, 'max_depth', 1, 'max_children', 1, 'grant_id', p_id, 'credential_id', p_id, 'audience', p_id,
       'audit_id', p_id || '1'));
     outcome := sever_revoke(p_id, jsonb_build_array(jsonb_build_object(
       'id', p_id, 'action', 'kill', 'subjects', jsonb_build_array(jsonb_build_object('kind', 'agent', 'id', p_id)),
       'reason', 'rehearsal', 'actor', '{}'::jsonb, 'caller', '{"kind":"operator"}'::jsonb, 'audit_id', p_id || '2')));
     IF outcome->0->'entries' IS NULL THEN RAISE EXCEPTION 'the rehearsal was refused: %', outcome; END IF;
     RAISE EXCEPTION USING ERRCODE = 'SV000', MESSAGE = 'the end of the rehearsal takes everything back';
   EXCEPTION WHEN SQLSTATE 'SV000' THEN
     RETURN;
   END $$`,
];
