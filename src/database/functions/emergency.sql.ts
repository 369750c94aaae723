/**
 * Closes an emergency once the database has said what becomes of its order: committed, or refused. Exactly once, whichever
 * replicas try, and however often.
 *
 * Of a committed order, each announced subject that no entry of it names (a credential, whose family was killed; an agent
 * that is unknown here) gets an entry of its own, so that every denial is in force before its announcement ends. Of a
 * refused order the announcement is lifted; sever_revoke then refuses the same id for ever, because a lifted id never
 * returns at an enforcement point.
 *
 * Locks: the emergency's row; the head of the stream, last, by sever_append. Of a refused order first, so that a
 * transaction of it that is still under way either is seen here, or sees this. The fence is not taken: no floor is raised
 * here that could let a spawn slip past, the order's own are committed already.
 *
 * p: {kill_id, ordered, subjects:[wire], refusal|null, issued_ms, not_after_ms, audit_id}
 * Returns {"state", "epoch", "entries":[{seq, payload}]}, {"state"} when it was closed before, or {"state": "open"} when
 * the order is neither there nor refused.
 */
export const emergencySql = [
  `CREATE OR REPLACE FUNCTION sever_close_emergency(p_tenant text, p jsonb) RETURNS jsonb
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     the_id text := p->>'kill_id';
     refusal jsonb := nullif(p->'refusal', 'null');
     new_state text;
     former revocation;
     the_epoch bigint;
     audit_hash text;
     the_wire text;
     items jsonb := '[]';
     entries jsonb;
   BEGIN
     PERFORM set_config('app.tenant', p_tenant, true);
     SELECT * INTO former FROM revocation WHERE tenant = p_tenant AND id = the_id;
     IF former.id IS NULL AND refusal IS NOT NULL THEN
       PERFORM FROM stream_head WHERE tenant = p_tenant FOR UPDATE;
       SELECT * INTO former FROM revocation WHERE tenant = p_tenant AND id = the_id;
     END IF;
     IF former.id IS NULL AND refusal IS NULL THEN
       RETURN jsonb_build_object('state', coalesce(
         (SELECT e.state FROM emergency e WHERE e.tenant = p_tenant AND e.kill_id = the_id), 'open'));
     END IF;
     new_state := CASE WHEN former.id IS NOT NULL THEN 'committed' WHEN refusal ? 'merged' THEN 'merged' ELSE 'refused' END;
     INSERT INTO emergency (tenant, kill_id, subjects, ordered, state, refusal, issued_at, not_after, closed_at)
     VALUES (p_tenant, the_id, p->'subjects', p->'ordered', new_state, CASE WHEN former.id IS NULL THEN refusal END,
             to_timestamp((p->>'issued_ms')::double precision / 1000),
             to_timestamp((p->>'not_after_ms')::double precision / 1000), clock_timestamp())
     ON CONFLICT DO NOTHING;
     IF NOT FOUND THEN
       RETURN (SELECT jsonb_build_object('state', e.state) FROM emergency e WHERE e.tenant = p_tenant AND e.kill_id = the_id);
     END IF;
     audit_hash := sever_base64url(sever_audit(p_tenant, p->>'audit_id', 'emergency.' || new_state, jsonb_build_object(
       'order_id', the_id, 'ordered', (p->'ordered') - 'idempotency' - 'caller', 'on_the_wire', p->'subjects', 'refusal', refusal)));
     SELECT epoch INTO STRICT the_epoch FROM stream_head WHERE tenant = p_tenant;

     IF new_state <> 'committed' THEN
       items := items || jsonb_build_object('order_id', the_id, 'audit', audit_hash,
         'op', jsonb_build_object('op', 'lift', 'id', the_id)::text);
     ELSIF former.lifted IS NULL THEN
       FOR the_wire IN
         SELECT s FROM jsonb_array_elements_text(p->'subjects') s WHERE NOT EXISTS (
           SELECT FROM stream_entry e
           WHERE e.tenant = p_tenant AND e.epoch = former.epoch AND e.seq BETWEEN former.first_seq AND former.last_seq
             AND e.order_id = the_id AND e.payload::jsonb->'op'->>'subject' = s)
       LOOP
         items := items || CASE WHEN former.action = 'suspend' OR NOT sever_has_generation(the_wire) THEN
           jsonb_build_object('order_id', the_id, 'audit', audit_hash, 'wire', the_wire, 'suspends', true,
             'op', sever_suspend_op(the_id, the_wire, former.level, former.in_flight))
         ELSE
           jsonb_build_object('order_id', the_id, 'audit', audit_hash, 'wire', the_wire,
             'op', jsonb_build_object('op', 'floor', 'subject', the_wire,
               'generation', sever_raise_floor(p_tenant, the_wire, the_id, 'kill', the_epoch))::text)
         END;
       END LOOP;
     END IF;
     IF jsonb_array_length(items) = 0 THEN RETURN jsonb_build_object('state', new_state); END IF;

     entries := sever_append(p_tenant, the_epoch, items);
     INSERT INTO suspension (tenant, order_id, subject, level, epoch, seq, wire_id)
     SELECT p_tenant, the_id, a->>'wire', former.level, the_epoch, (v->>'seq')::bigint, the_id
     FROM jsonb_array_elements(items) WITH ORDINALITY AS x(a, n)
     JOIN jsonb_array_elements(entries) WITH ORDINALITY AS y(v, n) USING (n)
     WHERE a ? 'suspends' ON CONFLICT DO NOTHING;
     RETURN jsonb_build_object('state', new_state, 'epoch', the_epoch, 'entries', entries);
   END $$`,
];
