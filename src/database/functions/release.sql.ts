/**
 * Undoing: lift a suspension, reinstate a killed subject.
 *
 * Locks: the fence, exclusive, on every subject of the order (lift) or on the subject (reinstate), then stream_head, last.
 * So an undoing and a kill of the same subject happen one after the other, and neither undoes the other by accident: a
 * reinstatement names every kill that stands, and a kill that it did not name refuses it.
 */
export const releaseSql = [
  /*
   * p: {id, reason, actor, own_only, audit_id}. own_only: the caller may only undo what it ordered, within the tenant's window.
   * {"problem", …} · {"already": true} · {"id", "epoch", "entries"}.
   */
  `CREATE OR REPLACE FUNCTION sever_lift(p_tenant text, p jsonb) RETURNS jsonb
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     ord revocation;
     ts timestamptz;
     the_epoch bigint;
     audit_hash text;
     undo jsonb := p;
   BEGIN
     PERFORM set_config('app.tenant', p_tenant, true);
     SELECT * INTO ord FROM revocation WHERE tenant = p_tenant AND id = p->>'id';
     IF NOT FOUND OR ord.action = 'complete' THEN RETURN jsonb_build_object('problem', 'not_found'); END IF;
     PERFORM sever_fence_exclusive(p_tenant, ARRAY(
       SELECT DISTINCT r.lock_subject FROM jsonb_array_elements(ord.subjects) s,
         sever_resolve(p_tenant, ord.action, false, s->>'kind', s->>'id') r));
     SELECT * INTO ord FROM revocation WHERE tenant = p_tenant AND id = p->>'id' FOR UPDATE;
     IF ord.action <> 'suspend' THEN RETURN jsonb_build_object('problem', 'not_a_suspension'); END IF;
     ts := clock_timestamp();
     IF (p->>'own_only')::boolean AND ord.created_by->>'id' IS DISTINCT FROM p->'actor'->>'id' THEN
       RETURN jsonb_build_object('problem', 'forbidden', 'why', 'not_yours');
     END IF;
     IF (p->>'own_only')::boolean AND ord.created_at < ts - make_interval(secs =>
          (SELECT undo_window_ms FROM tenant WHERE id = p_tenant)::double precision / 1000) THEN
       RETURN jsonb_build_object('problem', 'forbidden', 'why', 'window_over');
     END IF;
     IF ord.lifted IS NOT NULL THEN RETURN jsonb_build_object('already', true); END IF;
     IF (p->>'expiry')::boolean AND (ord.expires_at IS NULL OR ord.expires_at > ts) THEN
       RETURN jsonb_build_object('already', true);
     END IF;
     SELECT epoch INTO STRICT the_epoch FROM stream_head WHERE tenant = p_tenant;
     audit_hash := sever_base64url(sever_audit(p_tenant, p->>'audit_id', 'lift', jsonb_build_object(
       'order_id', ord.id, 'actor', p->'actor', 'subjects', ord.subjects, 'reason', p->'reason')));
     UPDATE revocation SET lifted = jsonb_build_object('at', ts, 'by', p->'actor', 'reason', p->'reason')
     WHERE tenant = p_tenant AND id = ord.id;
     RETURN jsonb_build_object('id', ord.id, 'epoch', the_epoch,
       'entries', sever_end_suspensions(p_tenant, the_epoch, ord.id, audit_hash, NULL, ts));
   END $$`,

  /*
   * Lifts what an order suspends: all of it, or only p_subjects. On the wire an id is lifted whole, so what remains is
   * first suspended anew under an id of its own. Returns the appended entries.
   */
  `CREATE OR REPLACE FUNCTION sever_end_suspensions(
     p_tenant text, p_epoch bigint, p_order text, p_audit text, p_subjects text[], p_now timestamptz) RETURNS jsonb
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     ending suspension;
     staying suspension;
     fresh text;
     to_append jsonb := '[]';
     moved jsonb := '[]';
     entries jsonb;
   BEGIN
     FOR ending IN
       SELECT DISTINCT ON (u.wire_id) u.* FROM suspension u
       WHERE u.tenant = p_tenant AND u.order_id = p_order AND u.lifted_at IS NULL AND (p_subjects IS NULL OR u.subject = ANY (p_subjects))
     LOOP
       fresh := translate(sever_base64url(sha256(convert_to(ending.wire_id || p_audit, 'UTF8'))), '-_', 'ab');
       FOR staying IN
         SELECT u.* FROM suspension u
         WHERE u.tenant = p_tenant AND u.wire_id = ending.wire_id AND u.lifted_at IS NULL AND NOT u.subject = ANY (p_subjects)
       LOOP
         to_append := to_append || jsonb_build_object('order_id', p_order, 'audit', p_audit,
           'op', sever_suspend_op(fresh, staying.subject, staying.level, 'drain'));
         moved := moved || jsonb_build_object('subject', staying.subject, 'at', jsonb_array_length(to_append) - 1, 'wire_id', fresh);
       END LOOP;
       to_append := to_append || jsonb_build_object('order_id', p_order, 'audit', p_audit,
         'op', jsonb_build_object('op', 'lift', 'id', ending.wire_id)::text);
     END LOOP;
     UPDATE suspension SET lifted_at = p_now WHERE tenant = p_tenant AND order_id = p_order AND lifted_at IS NULL
       AND (p_subjects IS NULL OR subject = ANY (p_subjects));
     IF jsonb_array_length(to_append) = 0 THEN RETURN '[]'; END IF;
     entries := sever_append(p_tenant, p_epoch, to_append);
     UPDATE suspension u SET wire_id = m->>'wire_id', epoch = p_epoch, seq = (entries->((m->>'at')::int)->>'seq')::bigint
     FROM jsonb_array_elements(moved) m
     WHERE u.tenant = p_tenant AND u.order_id = p_order AND u.subject = m->>'subject';
     RETURN entries;
   END $$`,

  // The processes of enforcement points that are reinstated: those that have not left admit again once they hear of it, or
  // go on without ever having heard of the kill. So they are on the roster again, also of the kills meanwhile. Called with the
  // head of the stream locked, like everything that changes who is on a roster.
  `CREATE OR REPLACE FUNCTION sever_reopen_boots(p_tenant text, p_points text[]) RETURNS void
   LANGUAGE sql VOLATILE AS $$
     UPDATE boot SET until_epoch = NULL, until_seq = NULL
     WHERE tenant = p_tenant AND ep_id = ANY (p_points) AND left_at IS NULL
   $$`,

  /*
   * p: {id (of this act), kind, subject_id, kill_ids, reason, actor, audit_id}.
   * {"problem", …} · {"replay": true, …} · {"generation", "created_at", "epoch", "entries"}.
   */
  `CREATE OR REPLACE FUNCTION sever_reinstate(p_tenant text, p jsonb) RETURNS jsonb
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     target record;
     wires text[];
     given text[] := ARRAY(SELECT DISTINCT jsonb_array_elements_text(p->'kill_ids'));
     standing text[];
     wrong text;
     dead record;
     ts timestamptz;
     raised bigint;
     the_epoch bigint;
     audit_hash text;
     entries jsonb := '[]';
     the_order text;
     back text[];
   BEGIN
     PERFORM set_config('app.tenant', p_tenant, true);
     SELECT r.* INTO target FROM sever_resolve(p_tenant, 'kill', false, p->>'kind', p->>'subject_id') r;
     IF NOT FOUND THEN RETURN jsonb_build_object('problem', 'not_found'); END IF;
     PERFORM sever_fence_exclusive(p_tenant, ARRAY[target.lock_subject]);
     IF EXISTS (SELECT FROM audit_record WHERE tenant = p_tenant AND id = p->>'audit_id') THEN
       -- Sent again because the answer to its COMMIT was lost.
       RETURN (SELECT jsonb_build_object('replay', true, 'created_at', a.at,
         'generation', CASE WHEN sever_has_generation(target.wire) THEN sever_generation(p_tenant, target.wire) END)
         FROM audit_record a WHERE a.tenant = p_tenant AND a.id = p->>'audit_id');
     END IF;
     -- A credential can have been killed alone, or with all that was minted with it.
     wires := CASE p->>'kind' WHEN 'credential' THEN ARRAY[target.wire, 'credential:' || (p->>'subject_id')] ELSE ARRAY[target.wire] END;
     standing := ARRAY(SELECT DISTINCT k.order_id FROM standing_kill k
                       WHERE k.tenant = p_tenant AND k.subject = ANY (wires) AND k.released_at IS NULL ORDER BY 1);
     IF cardinality(standing) = 0 THEN RETURN jsonb_build_object('problem', 'not_killed'); END IF;
     SELECT g INTO wrong FROM unnest(given) g WHERE NOT g = ANY (standing) LIMIT 1;
     IF FOUND THEN RETURN jsonb_build_object('problem', 'not_a_kill_of_it', 'kill_id', wrong); END IF;
     IF NOT standing <@ given THEN
       RETURN jsonb_build_object('problem', 'other_kills_stand', 'kill_ids', to_jsonb(standing));
     END IF;
     IF EXISTS (SELECT FROM revocation r WHERE r.tenant = p_tenant AND r.id = ANY (standing)
                AND p->'actor'->>'id' IN (r.created_by->>'id', r.escalated->'by'->>'id')) THEN
       RETURN jsonb_build_object('problem', 'second_person_required');
     END IF;
     IF target.path IS NOT NULL THEN
       -- Every pair that it lives under, without what is being revived.
       SELECT d.* INTO dead FROM (
         SELECT array_agg(pair.s) AS subjects, array_agg(pair.g) AS generations
         FROM unnest(target.path, target.generations || sever_generation(p_tenant, 'agent:' || target.owner_id)) AS pair(s, g)
         WHERE NOT pair.s = ANY (wires)
       ) above, sever_denial(p_tenant, above.subjects, above.generations) d
       WHERE d.action = 'kill';
       IF FOUND THEN
         RETURN jsonb_build_object('problem', 'ancestor_revoked', 'kill_id', dead.order_id, 'subject', dead.subject);
       END IF;
     END IF;

     ts := clock_timestamp();
     SELECT epoch INTO STRICT the_epoch FROM stream_head WHERE tenant = p_tenant;
     audit_hash := sever_base64url(sever_audit(p_tenant, p->>'audit_id', 'reinstate', jsonb_build_object(
       'subject', target.wire, 'kill_ids', to_jsonb(standing), 'actor', p->'actor', 'reason', p->'reason')));
     IF sever_has_generation(target.wire) THEN
       -- Above the epoch too: enforcement points may remember floors of a future that a restored database has lost.
       UPDATE subject SET generation = greatest(floor, the_epoch << 32) WHERE tenant = p_tenant AND subject = ANY (wires) AND generation < floor;
       raised := sever_generation(p_tenant, target.wire);
     END IF;
     -- Of a kill of several subjects: whoever reinstates another one at the same time has a fence of its own, and each
     -- would take the other's for standing.
     PERFORM FROM revocation WHERE tenant = p_tenant AND id = ANY (standing) ORDER BY id FOR UPDATE;
     UPDATE standing_kill SET released_at = ts WHERE tenant = p_tenant AND subject = ANY (wires) AND released_at IS NULL;
     UPDATE revocation r SET reinstated = jsonb_build_object('at', ts, 'by', p->'actor', 'reason', p->'reason')
     WHERE r.tenant = p_tenant AND r.id = ANY (standing)
       AND NOT EXISTS (SELECT FROM standing_kill k WHERE k.tenant = p_tenant AND k.order_id = r.id AND k.released_at IS NULL);
     UPDATE agent SET listed_state = 'active'
     WHERE tenant = p_tenant AND p->>'kind' = 'agent' AND id = p->>'subject_id' AND completed_at IS NULL;
     UPDATE root_hold h SET until = ts WHERE h.tenant = p_tenant AND h.order_id = ANY (standing) AND h.until > ts;
     WITH revived AS (
       UPDATE enforcement_point SET revoked_at = NULL, revoked_by = NULL
       WHERE tenant = p_tenant AND revoked_by = ANY (standing)
         AND target.wire IN ('enforcement_point:' || id, 'enrolment_key:' || enrolment_key_id)
       RETURNING id
     ) SELECT array_agg(id) INTO back FROM revived;
     UPDATE enrolment_key SET revoked_at = NULL, revoked_by = NULL
     WHERE tenant = p_tenant AND revoked_by = ANY (standing) AND target.wire = 'enrolment_key:' || id;
     -- It signs nothing again; what it has signed verifies again.
     UPDATE signing_key SET state = 'previous'
     WHERE tenant = p_tenant AND target.wire = 'signing_key:' || kid AND state = 'dead' AND purpose = 'token';
     IF NOT sever_has_generation(target.wire) THEN
       FOREACH the_order IN ARRAY standing LOOP
         entries := entries || sever_end_suspensions(p_tenant, the_epoch, the_order, audit_hash, wires, ts);
       END LOOP;
     END IF;
     PERFORM sever_reopen_boots(p_tenant, back);
     RETURN jsonb_build_object('generation', raised, 'created_at', ts, 'epoch', the_epoch, 'entries', entries);
   END $$`,
];
