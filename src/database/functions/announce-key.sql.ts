/**
 * Stores a signing key that is to take over one day, and tells enforcement points of it in the stream, under the signature
 * of the present one. Locks: stream_head, last. p: {kid, purpose, public_jwk, sealed (base64), actor, audit_id}.
 * Returns {"epoch", "entries"}, or {"present": true} when another replica was first.
 */
export const announceKeySql = [
  `CREATE OR REPLACE FUNCTION sever_announce_key(p_tenant text, p jsonb) RETURNS jsonb
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     the_epoch bigint;
     audit_hash text;
   BEGIN
     PERFORM set_config('app.tenant', p_tenant, true);
     PERFORM sever_fence_exclusive(p_tenant, ARRAY['signing_key:next/' || (p->>'purpose')]);
     IF EXISTS (SELECT FROM signing_key WHERE tenant = p_tenant AND purpose = p->>'purpose' AND state = 'next') THEN
       RETURN jsonb_build_object('present', true);
     END IF;
     INSERT INTO signing_key (tenant, kid, purpose, state, public_jwk, sealed)
     VALUES (p_tenant, p->>'kid', p->>'purpose', 'next', p->'public_jwk', decode(p->>'sealed', 'base64'));
     SELECT epoch INTO STRICT the_epoch FROM stream_head WHERE tenant = p_tenant;
     audit_hash := sever_base64url(sever_audit(p_tenant, p->>'audit_id', 'signing_key.announce', jsonb_build_object(
       'actor', p->'actor', 'kid', p->'kid', 'purpose', p->'purpose')));
     RETURN jsonb_build_object('epoch', the_epoch, 'entries', sever_append(p_tenant, the_epoch, jsonb_build_array(
       jsonb_build_object('order_id', p->'audit_id', 'audit', audit_hash, 'op', jsonb_build_object('op', 'key',
         'purpose', p->'purpose', 'kid', p->'kid', 'state', 'next', 'jwk', p->'public_jwk')::text))));
   END $$`,
];
