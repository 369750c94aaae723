/**
 * Commits again what a restored database has lost, from entries whose signatures the caller has verified.
 *
 * An entry of a former epoch is *known* when the stream holds it, or held it and has compacted it; *ahead* when the stream
 * is still in its epoch and does not hold it, so that a new epoch must be opened first; else *lost*.
 */
export const restoreSql = [
  `CREATE OR REPLACE FUNCTION sever_judge_entry(p_tenant text, p_epoch bigint, p_seq bigint, p_payload text) RETURNS text
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     head stream_head;
     stored text;
   BEGIN
     SELECT * INTO head FROM stream_head WHERE tenant = p_tenant;
     IF NOT FOUND THEN RETURN 'known'; END IF;
     SELECT payload INTO stored FROM stream_entry WHERE tenant = p_tenant AND epoch = p_epoch AND seq = p_seq;
     IF stored = p_payload THEN RETURN 'known'; END IF;
     IF (p_epoch, p_seq) > (head.epoch, head.seq) OR (p_epoch = head.epoch AND stored IS NOT NULL) THEN RETURN 'ahead'; END IF;
     IF p_epoch = head.epoch THEN RETURN 'known'; END IF;
     IF EXISTS (SELECT FROM restored_entry WHERE tenant = p_tenant AND epoch = p_epoch AND seq = p_seq
                AND hash = sha256(convert_to(p_payload, 'UTF8'))) THEN
       RETURN 'known';
     END IF;
     IF stored IS NULL AND EXISTS (SELECT FROM epoch_opening WHERE tenant = p_tenant AND former_epoch = p_epoch AND former_seq >= p_seq) THEN
       RETURN 'known';
     END IF;
     RETURN 'lost';
   END $$`,

  // The key of the fence that a subject on the wire belongs to; its own where the restored database does not know it.
  `CREATE OR REPLACE FUNCTION sever_fence_of(p_tenant text, p_wire text) RETURNS text
   LANGUAGE sql VOLATILE AS $$
     SELECT coalesce((SELECT 'agent:' || a.root_id FROM agent a WHERE a.tenant = p_tenant AND a.id = CASE w.kind
       WHEN 'agent' THEN w.id
       WHEN 'grant' THEN (SELECT g.agent_id FROM scope_grant g WHERE g.tenant = p_tenant AND g.id = w.id)
       WHEN 'credential' THEN (SELECT c.agent_id FROM credential c WHERE c.tenant = p_tenant AND c.id = w.id)
       WHEN 'family' THEN (SELECT c.agent_id FROM credential c WHERE c.tenant = p_tenant AND c.family_id = w.id LIMIT 1) END), p_wire)
     FROM (SELECT split_part(p_wire, ':', 1) AS kind, substr(p_wire, strpos(p_wire, ':') + 1) AS id) w
   $$`,

  /*
   * p_entries: [{"epoch", "seq", "payload", "shown_by"}]; shown_by: the enforcement point that showed it.
   * Returns {"epoch", "orders": [ids], "entries": [{"seq", "payload"}]}.
   *
   * Locks: one restoring at a time for each tenant; then the fence of every subject, exclusive; stream_head last, inside
   * sever_append. Isolation: READ COMMITTED. Each entry is committed again once, whoever shows it.
   */
  `CREATE OR REPLACE FUNCTION sever_restore(p_tenant text, p_entries jsonb) RETURNS jsonb
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     shown record;
     op jsonb;
     wire text;
     killed boolean;
     action text;
     the_epoch bigint;
     lease_ms integer;
     ts timestamptz;
     audit_hash text;
     new_op jsonb;
     to_append jsonb := '[]';
     entries jsonb := '[]';
     orders jsonb := '[]';
   BEGIN
     PERFORM set_config('app.tenant', p_tenant, true);
     PERFORM pg_advisory_xact_lock(hashtextextended(p_tenant || '/restore', 7400));
     PERFORM sever_fence_exclusive(p_tenant, ARRAY(
       SELECT DISTINCT sever_fence_of(p_tenant, e->'op'->>'subject')
       FROM (SELECT (v->>'payload')::jsonb AS e FROM jsonb_array_elements(p_entries) v) p WHERE e->'op' ? 'subject'));
     SELECT epoch INTO STRICT the_epoch FROM stream_head WHERE tenant = p_tenant;
     SELECT greatest(t.lease_valid_ms, t.lease_valid_ms_before, coalesce(
              (SELECT max(o.lease_valid_ms) FROM epoch_opening o WHERE o.tenant = t.id AND o.settled_at IS NULL), 0))
     INTO STRICT lease_ms FROM tenant t WHERE t.id = p_tenant;

     FOR shown IN
       SELECT v.epoch, v.seq, v.payload, v.shown_by, v.payload::jsonb AS entry
       FROM jsonb_to_recordset(p_entries) AS v(epoch bigint, seq bigint, payload text, shown_by text) ORDER BY v.epoch, v.seq
     LOOP
       CONTINUE WHEN sever_judge_entry(p_tenant, shown.epoch, shown.seq, shown.payload) <> 'lost';
       op := shown.entry->'op';
       wire := op->>'subject';
       new_op := op;
       ts := clock_timestamp();
       IF op->>'op' = 'floor' THEN
         action := CASE WHEN EXISTS (SELECT FROM scope_grant g WHERE g.tenant = p_tenant AND g.base AND 'grant:' || g.id = wire)
                        THEN 'complete' ELSE 'kill' END;
         new_op := op || jsonb_build_object('generation',
           sever_raise_floor(p_tenant, wire, shown.entry->>'kill_id', action, the_epoch));
         UPDATE agent SET completed_at = ts, listed_state = 'completed'
         WHERE action = 'complete' AND tenant = p_tenant AND 'grant:' || base_grant_id = wire AND completed_at IS NULL;
       ELSIF op->>'op' = 'suspend' THEN
         -- Kills of what has no generation travel as suspensions; tools and upstreams can only be suspended.
         action := CASE WHEN split_part(wire, ':', 1) IN ('enforcement_point', 'enrolment_key', 'signing_key') THEN 'kill' ELSE 'suspend' END;
         INSERT INTO suspension AS s (tenant, order_id, subject, level, epoch, seq, wire_id, lifted_at)
         VALUES (p_tenant, shown.entry->>'kill_id', wire, op->>'level', the_epoch, 0, op->>'id',
                 (SELECT max(r.restored_at) FROM restored_entry r WHERE r.tenant = p_tenant AND r.lifts = op->>'id'))
         ON CONFLICT (tenant, order_id, subject) DO UPDATE SET level = excluded.level, epoch = excluded.epoch,
           seq = excluded.seq, wire_id = excluded.wire_id, lifted_at = excluded.lifted_at;
         -- Shown after its lift: nobody will ever enforce that id again.
         IF EXISTS (SELECT FROM restored_entry r WHERE r.tenant = p_tenant AND r.lifts = op->>'id') THEN new_op := NULL; END IF;
       ELSIF op->>'op' = 'lift' THEN
         action := NULL;
         UPDATE suspension SET lifted_at = ts WHERE tenant = p_tenant AND wire_id = op->>'id' AND lifted_at IS NULL;
       ELSIF op->>'op' = 'key' AND op->>'state' = 'dead' THEN
         action := NULL;
         UPDATE signing_key SET state = 'dead' WHERE tenant = p_tenant AND kid = op->>'kid' AND purpose = op->>'purpose';
       ELSE
         -- A private key that is gone cannot come back, and an op of a later version means nothing here: it stays lost.
         CONTINUE;
       END IF;

       killed := action = 'kill';
       IF killed THEN
         INSERT INTO standing_kill (tenant, subject, order_id) VALUES (p_tenant, wire, shown.entry->>'kill_id') ON CONFLICT DO NOTHING;
       END IF;
       IF action IS NOT NULL AND NOT orders ? (shown.entry->>'kill_id') THEN
         orders := orders || to_jsonb(shown.entry->>'kill_id');
       END IF;
       audit_hash := sever_base64url(sever_audit(p_tenant, sever_audit_id(), 'restore', jsonb_build_object(
         'order_id', shown.entry->'kill_id', 'was_at', shown.epoch || '.' || shown.seq, 'op', op, 'shown_by', shown.shown_by,
         'former_record', shown.entry->'audit')));
       INSERT INTO restored_entry (tenant, epoch, seq, hash, opening, order_id, lifts, payload, shown_by, restored_at, now_epoch, now_seq)
       VALUES (p_tenant, shown.epoch, shown.seq, sha256(convert_to(shown.payload, 'UTF8')),
               (SELECT min(o.epoch) FROM epoch_opening o WHERE o.tenant = p_tenant AND o.epoch > shown.epoch),
               shown.entry->>'kill_id', CASE op->>'op' WHEN 'lift' THEN op->>'id' END, shown.payload, shown.shown_by, ts, the_epoch,
               CASE WHEN new_op IS NOT NULL THEN -1 - jsonb_array_length(to_append) END);
       UPDATE epoch_opening o SET seen_epoch = shown.epoch, seen_seq = shown.seq
       WHERE o.tenant = p_tenant AND o.epoch = (SELECT min(x.epoch) FROM epoch_opening x WHERE x.tenant = p_tenant AND x.epoch > shown.epoch)
         AND (o.seen_epoch IS NULL OR (o.seen_epoch, o.seen_seq) < (shown.epoch, shown.seq));
       IF new_op IS NOT NULL THEN
         to_append := to_append || jsonb_build_object('order_id', shown.entry->'kill_id', 'audit', audit_hash, 'op', new_op::text,
           'wire', wire, 'action', action, 'by', shown.shown_by, 'at', shown.entry->'at');
         -- The restored database still signs with a key that is dead everywhere else.
         IF killed AND wire LIKE 'signing_key:%' THEN
           to_append := to_append || sever_retire_restored_key(p_tenant, substr(wire, 13), jsonb_build_object(
             'order_id', shown.entry->'kill_id', 'audit', audit_hash, 'by', shown.shown_by, 'at', shown.entry->'at'));
         END IF;
       END IF;
     END LOOP;

     IF jsonb_array_length(to_append) > 0 THEN
       entries := sever_append(p_tenant, the_epoch, to_append);
       PERFORM sever_place_restored(p_tenant, the_epoch, lease_ms, to_append, entries);
     END IF;
     RETURN jsonb_build_object('epoch', the_epoch, 'orders', orders, 'entries', entries);
   END $$`,

  // What is to be appended beside the death of a key that the restored database still has. Without an heir it dies all the
  // same: then nothing is signed until there is another one.
  `CREATE OR REPLACE FUNCTION sever_retire_restored_key(p_tenant text, p_kid text, p_like jsonb) RETURNS jsonb
   LANGUAGE plpgsql VOLATILE AS $$
   BEGIN
     IF NOT EXISTS (SELECT FROM signing_key WHERE tenant = p_tenant AND kid = p_kid AND state <> 'dead') THEN
       RETURN '[]';
     END IF;
     BEGIN
       RETURN coalesce((SELECT jsonb_agg(p_like || jsonb_build_object('op', o))
                        FROM jsonb_array_elements_text(sever_retire_key(p_tenant, p_kid)) o), '[]');
     EXCEPTION WHEN SQLSTATE 'SV001' THEN
       UPDATE signing_key SET state = 'dead' WHERE tenant = p_tenant AND kid = p_kid;
       RETURN '[]';
     END;
   END $$`,

  // The places of what was appended, and the records of its orders. p_appended and p_entries have one order.
  `CREATE OR REPLACE FUNCTION sever_place_restored(
     p_tenant text, p_epoch bigint, p_lease_ms integer, p_appended jsonb, p_entries jsonb) RETURNS void
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     ts timestamptz := clock_timestamp();
     back text[];
   BEGIN
     UPDATE restored_entry r SET now_seq = (p_entries->(-1 - r.now_seq)::int->>'seq')::bigint
     WHERE r.tenant = p_tenant AND r.now_epoch = p_epoch AND r.now_seq < 0;
     UPDATE suspension s SET seq = (v->>'seq')::bigint
     FROM jsonb_array_elements(p_appended) WITH ORDINALITY AS x(a, n)
     JOIN jsonb_array_elements(p_entries) WITH ORDINALITY AS y(v, n) USING (n)
     WHERE s.tenant = p_tenant AND s.order_id = a->>'order_id' AND s.subject = a->>'wire' AND s.epoch = p_epoch AND s.seq = 0;

     INSERT INTO revocation AS r (tenant, id, action, subjects, reason, created_at, created_by, epoch, first_seq, last_seq, lease_valid_ms)
     SELECT p_tenant, a->>'order_id',
            CASE WHEN bool_or(a->>'action' = 'kill') THEN 'kill' ELSE min(a->>'action') END,
            jsonb_agg(DISTINCT sever_named(a->>'wire')), 'restored from signed evidence',
            to_timestamp(min((a->>'at')::double precision) / 1000),
            jsonb_build_object('kind', 'restored', 'id', min(a->>'by'), 'name', 'signed evidence'),
            p_epoch, min((v->>'seq')::bigint), max((v->>'seq')::bigint), p_lease_ms
     FROM jsonb_array_elements(p_appended) WITH ORDINALITY AS x(a, n)
     JOIN jsonb_array_elements(p_entries) WITH ORDINALITY AS y(v, n) USING (n)
     WHERE a->>'action' IS NOT NULL GROUP BY a->>'order_id'
     -- Known already in part, or from before it was escalated.
     ON CONFLICT (tenant, id) DO UPDATE SET
       action = CASE excluded.action WHEN 'kill' THEN 'kill' ELSE r.action END,
       subjects = (SELECT jsonb_agg(DISTINCT s) FROM jsonb_array_elements(r.subjects || excluded.subjects) s),
       first_seq = CASE WHEN r.epoch = excluded.epoch THEN least(r.first_seq, excluded.first_seq) ELSE excluded.first_seq END,
       epoch = excluded.epoch, last_seq = excluded.last_seq, lease_valid_ms = greatest(r.lease_valid_ms, excluded.lease_valid_ms),
       cascade_state = 'pending', replica = NULL, committed_mono_ms = NULL;
     -- What is lifted whole has been lifted.
     UPDATE revocation r SET lifted = jsonb_build_object('at', ts, 'reason', 'restored from signed evidence',
         'by', jsonb_build_object('kind', 'restored', 'id', a->>'by', 'name', 'signed evidence'))
     FROM jsonb_array_elements(p_appended) a
     WHERE (a->>'op')::jsonb->>'op' = 'lift' AND r.tenant = p_tenant AND r.id = a->>'order_id' AND r.action = 'suspend'
       AND r.lifted IS NULL
       AND NOT EXISTS (SELECT FROM suspension s WHERE s.tenant = p_tenant AND s.order_id = r.id AND s.lifted_at IS NULL);

     UPDATE enrolment_key SET revoked_at = ts, revoked_by = a->>'order_id'
     FROM jsonb_array_elements(p_appended) a
     WHERE tenant = p_tenant AND revoked_at IS NULL AND a->>'action' = 'kill' AND a->>'wire' = 'enrolment_key:' || id;
     UPDATE enforcement_point e SET revoked_at = ts, revoked_by = a->>'order_id'
     FROM jsonb_array_elements(p_appended) a
     WHERE tenant = p_tenant AND revoked_at IS NULL AND a->>'action' = 'kill'
       AND a->>'wire' IN ('enforcement_point:' || e.id, 'enrolment_key:' || e.enrolment_key_id);
     -- Reinstated after all: the lift of its suspension is what was shown.
     WITH revived AS (
       UPDATE enforcement_point e SET revoked_at = NULL, revoked_by = NULL
       WHERE e.tenant = p_tenant AND e.revoked_by IN (SELECT a->>'order_id' FROM jsonb_array_elements(p_appended) a
                                                      WHERE (a->>'op')::jsonb->>'op' = 'lift')
         AND NOT EXISTS (SELECT FROM suspension s WHERE s.tenant = p_tenant AND s.order_id = e.revoked_by AND s.lifted_at IS NULL)
       RETURNING e.id
     ) SELECT array_agg(id) INTO back FROM revived;
     PERFORM sever_reopen_boots(p_tenant, back);
     UPDATE enrolment_key e SET revoked_at = NULL, revoked_by = NULL
     WHERE e.tenant = p_tenant AND e.revoked_by IN (SELECT a->>'order_id' FROM jsonb_array_elements(p_appended) a
                                                    WHERE (a->>'op')::jsonb->>'op' = 'lift')
       AND NOT EXISTS (SELECT FROM suspension s WHERE s.tenant = p_tenant AND s.order_id = e.revoked_by AND s.lifted_at IS NULL);
     UPDATE standing_kill k SET released_at = ts
     WHERE k.tenant = p_tenant AND k.released_at IS NULL
       AND k.order_id IN (SELECT a->>'order_id' FROM jsonb_array_elements(p_appended) a WHERE (a->>'op')::jsonb->>'op' = 'lift')
       AND EXISTS (SELECT FROM suspension s WHERE s.tenant = p_tenant AND s.order_id = k.order_id AND s.subject = k.subject
                   AND s.lifted_at IS NOT NULL);
     UPDATE boot b SET until_epoch = p_epoch, until_seq = (v->>'seq')::bigint
     FROM jsonb_array_elements(p_appended) WITH ORDINALITY AS x(a, n)
     JOIN jsonb_array_elements(p_entries) WITH ORDINALITY AS y(v, n) USING (n),
     enforcement_point e
     WHERE b.tenant = p_tenant AND b.until_epoch IS NULL AND a->>'action' = 'kill'
       AND e.tenant = p_tenant AND e.id = b.ep_id AND e.revoked_by = a->>'order_id';
   END $$`,

  // A subject on the wire as an order names it: a family is named by its first credential.
  `CREATE OR REPLACE FUNCTION sever_named(p_wire text) RETURNS jsonb
   LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
     SELECT jsonb_build_object('id', substr(p_wire, strpos(p_wire, ':') + 1),
       'kind', CASE split_part(p_wire, ':', 1) WHEN 'family' THEN 'credential' ELSE split_part(p_wire, ':', 1) END)
   $$`,
];
