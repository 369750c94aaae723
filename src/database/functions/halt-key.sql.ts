/**
 * Registers a halt key, or ends one, and tells enforcement points of it in the stream. Locks: the key's row; stream_head,
 * last.
 *
 * p: {id, name, kid, public_jwk, actor, audit_id} registers, {id, revoke: true, actor, audit_id} ends.
 * Returns {"problem"}, {"present": id} for a public key that is registered already, or {"id"} with the entry appended;
 * ending a key that has ended changes nothing.
 */
export const haltKeySql = [
  `CREATE OR REPLACE FUNCTION sever_halt_key(p_tenant text, p jsonb) RETURNS jsonb
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     the_key halt_key;
     ends boolean := coalesce((p->>'revoke')::boolean, false);
     audit_hash text;
     the_epoch bigint;
   BEGIN
     PERFORM set_config('app.tenant', p_tenant, true);
     IF ends THEN
       SELECT * INTO the_key FROM halt_key WHERE tenant = p_tenant AND id = p->>'id' FOR UPDATE;
       IF NOT FOUND THEN RETURN jsonb_build_object('problem', 'not_found'); END IF;
       IF the_key.revoked_at IS NOT NULL THEN RETURN jsonb_build_object('id', the_key.id); END IF;
       UPDATE halt_key SET revoked_at = clock_timestamp() WHERE tenant = p_tenant AND id = the_key.id;
     ELSE
       INSERT INTO halt_key (tenant, id, name, kid, public_jwk)
       VALUES (p_tenant, p->>'id', p->>'name', p->>'kid', p->'public_jwk')
       ON CONFLICT (tenant, kid) DO NOTHING RETURNING * INTO the_key;
       IF the_key.id IS NULL THEN
         SELECT * INTO STRICT the_key FROM halt_key WHERE tenant = p_tenant AND kid = p->>'kid';
         RETURN CASE WHEN the_key.revoked_at IS NULL THEN jsonb_build_object('present', the_key.id)
                     ELSE jsonb_build_object('problem', 'unprocessable') END;
       END IF;
     END IF;
     audit_hash := sever_base64url(sever_audit(p_tenant, p->>'audit_id',
       CASE WHEN ends THEN 'halt_key.revoke' ELSE 'halt_key.create' END,
       jsonb_build_object('actor', p->'actor', 'key_id', the_key.id, 'name', the_key.name, 'kid', the_key.kid)));
     SELECT epoch INTO STRICT the_epoch FROM stream_head WHERE tenant = p_tenant;
     PERFORM sever_append(p_tenant, the_epoch, jsonb_build_array(jsonb_build_object(
       'order_id', the_key.id, 'audit', audit_hash, 'op', jsonb_strip_nulls(jsonb_build_object(
         'op', 'key', 'purpose', 'halt', 'kid', the_key.kid, 'state', CASE WHEN ends THEN 'dead' ELSE 'live' END,
         'jwk', CASE WHEN NOT ends THEN the_key.public_jwk END))::text)));
     RETURN jsonb_build_object('id', the_key.id);
   END $$`,
];
