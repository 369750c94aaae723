/**
 * Commits a batch of orders (kill, suspend, complete) of one tenant in ONE call: each waits for nothing but the fence
 * and the head of the stream, each is validated on its own, and their entries get consecutive sequence numbers.
 *
 * Locks: the fence, exclusive, on every tree or subject named by the batch, in ascending order (and on the initiator, for
 * an order that holds new roots); stream_head last, inside sever_append. Isolation: READ COMMITTED; every check below the
 * fence reads with a new snapshot. O(1) in the size of the tree: one floor, one entry for each subject; only an order that
 * names a plan or a bound is measured against the tree. The roster is not written: it follows from the boots.
 *
 * An order: {id, action, subjects:[{kind,id}], only, reason, ticket, level, in_flight, expires_ms, hold_ms, if_plan_hash,
 *            max_agents, resolved, matched, nearest, warnings, not_found, escalates, actor:{id,name,kind},
 *            caller:{kind:"operator"|"service"|"agent", service_id, agent_id, subjects, generations},
 *            idempotency:{principal_id, key, fingerprint}|null, audit_id}
 * Its outcome: {"problem": code, …} with nothing written · {"replay": id} · {"id", "noop": true} for a completion that
 * had happened already · or the committed order with its entries.
 */
export const revokeSql = [
  // Dead already: raises nothing, keeps the order that killed it, and is published again all the same.
  `CREATE OR REPLACE FUNCTION sever_raise_floor(p_tenant text, p_wire text, p_order text, p_action text, p_epoch bigint)
   RETURNS bigint
   LANGUAGE sql VOLATILE AS $$
     INSERT INTO subject AS s (tenant, subject, floor, floor_order, floor_action, floored_at)
     VALUES (p_tenant, p_wire, greatest(2, p_epoch << 32), p_order,
             CASE p_action WHEN 'complete' THEN 'complete' ELSE 'kill' END, sever_order_time(p_tenant))
     ON CONFLICT (tenant, subject) DO UPDATE SET
       floor = greatest(s.floor, s.generation + 1, p_epoch << 32),
       -- The order that killed it stays the reason; only a kill takes the place of a completion.
       floor_order = CASE WHEN s.generation < s.floor AND (s.floor_action = 'kill' OR excluded.floor_action = 'complete')
                          THEN s.floor_order ELSE excluded.floor_order END,
       floor_action = CASE WHEN s.generation < s.floor AND (s.floor_action = 'kill' OR excluded.floor_action = 'complete')
                           THEN s.floor_action ELSE excluded.floor_action END,
       floored_at = excluded.floored_at
     RETURNING s.floor
   $$`,

  `CREATE OR REPLACE FUNCTION sever_suspend_op(p_id text, p_wire text, p_level text, p_in_flight text) RETURNS text
   LANGUAGE sql IMMUTABLE AS $$
     SELECT jsonb_strip_nulls(jsonb_build_object('op', 'suspend', 'id', p_id, 'subject', p_wire, 'level', p_level,
       'in_flight', nullif(p_in_flight, 'abort')))::text
   $$`,

  // A killed key signs nothing more: the one that was announced for this takes its place. Returns the ops that say so.
  `CREATE OR REPLACE FUNCTION sever_retire_key(p_tenant text, p_kid text) RETURNS jsonb
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     dying signing_key;
     heir signing_key;
     ops jsonb := '[]';
   BEGIN
     SELECT * INTO STRICT dying FROM signing_key WHERE tenant = p_tenant AND kid = p_kid FOR UPDATE;
     UPDATE signing_key SET state = 'dead' WHERE tenant = p_tenant AND kid = p_kid;
     IF dying.purpose = 'stream' THEN
       ops := ops || to_jsonb(jsonb_build_object('op', 'key', 'purpose', 'stream', 'kid', p_kid, 'state', 'dead')::text);
     END IF;
     IF dying.state = 'live' THEN
       SELECT * INTO heir FROM signing_key WHERE tenant = p_tenant AND purpose = dying.purpose AND state = 'next'
       ORDER BY created_at LIMIT 1 FOR UPDATE;
       IF NOT FOUND THEN RAISE EXCEPTION 'no % key is ready to take over', dying.purpose USING ERRCODE = 'SV001'; END IF;
       UPDATE signing_key SET state = 'live' WHERE tenant = p_tenant AND kid = heir.kid;
       ops := ops || to_jsonb(jsonb_build_object('op', 'key', 'purpose', heir.purpose, 'kid', heir.kid, 'state', 'live',
         'jwk', heir.public_jwk)::text);
     END IF;
     RETURN ops;
   END $$`,

  `CREATE OR REPLACE FUNCTION sever_revoke(p_tenant text, p_orders jsonb) RETURNS jsonb
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     ord jsonb;
     item jsonb;
     idem jsonb;
     prior idempotency_key;
     former revocation;
     found_one record;
     dead record;
     outcome jsonb;
     outcomes jsonb := '[]';
     to_append jsonb := '[]';
     committed jsonb := '[]';
     wires text[];
     named jsonb;
     missing jsonb;
     holds jsonb;
     plan jsonb;
     the_wire text;
     the_wire_id text;
     the_action text;
     lock_subjects text[];
     the_epoch bigint;
     lease_ms integer;
     raised bigint;
     audit_hash text;
     entries jsonb;
     ts timestamptz;
   BEGIN
     PERFORM set_config('app.tenant', p_tenant, true);
     -- Which trees: read before the fence, from columns that never change.
     SELECT coalesce(array_agg(DISTINCT l), '{}') INTO lock_subjects
     FROM jsonb_array_elements(p_orders) o,
          jsonb_array_elements(o->'subjects') s,
          sever_resolve(p_tenant, o->>'action', coalesce((o->>'only')::boolean, false), s->>'kind', s->>'id') r,
          unnest(ARRAY[r.lock_subject, CASE WHEN o->>'hold_ms' IS NOT NULL THEN 'initiator:' || r.initiator_id END]) l
     WHERE l IS NOT NULL;
     PERFORM sever_fence_exclusive(p_tenant, lock_subjects);

     SELECT epoch INTO STRICT the_epoch FROM stream_head WHERE tenant = p_tenant;
     SELECT CASE WHEN lease_changed_at > clock_timestamp() - interval '12 minutes'
                 THEN greatest(lease_valid_ms, lease_valid_ms_before) ELSE lease_valid_ms END
     INTO STRICT lease_ms FROM tenant WHERE id = p_tenant;

     FOR ord IN SELECT value FROM jsonb_array_elements(p_orders) LOOP
       outcome := NULL;
       the_action := ord->>'action';
       idem := nullif(ord->'idempotency', 'null');
       SELECT * INTO former FROM revocation WHERE tenant = p_tenant AND id = ord->>'id' FOR UPDATE;
       IF ord ? 'escalates' THEN
         IF former.action = 'kill' THEN
           outcome := jsonb_build_object('replay', ord->>'id');
         ELSIF former.id IS NULL THEN
           outcome := jsonb_build_object('problem', 'not_found');
         ELSIF former.action <> 'suspend' OR former.lifted IS NOT NULL THEN
           outcome := jsonb_build_object('problem', 'not_a_suspension', 'lifted', former.lifted IS NOT NULL);
         END IF;
       ELSIF former.id IS NOT NULL THEN
         -- Sent again because the answer to its COMMIT was lost: the same order, once.
         outcome := jsonb_build_object('replay', ord->>'id');
       ELSIF EXISTS (SELECT FROM emergency e WHERE e.tenant = p_tenant AND e.kill_id = ord->>'id') THEN
         -- Refused before, and its announcement lifted: enforcement points would not hear of it again.
         outcome := (SELECT e.refusal FROM emergency e WHERE e.tenant = p_tenant AND e.kill_id = ord->>'id');
       ELSIF idem IS NOT NULL THEN
         -- Waits for a concurrent first user of the key, because its row is not committed yet.
         INSERT INTO idempotency_key (tenant, principal_id, key, fingerprint, order_id, created_at)
         VALUES (p_tenant, idem->>'principal_id', idem->>'key', decode(idem->>'fingerprint', 'hex'), ord->>'id', clock_timestamp())
         ON CONFLICT DO NOTHING;
         IF NOT FOUND THEN
           SELECT * INTO STRICT prior FROM idempotency_key
           WHERE tenant = p_tenant AND principal_id = idem->>'principal_id' AND key = idem->>'key';
           IF prior.fingerprint = decode(idem->>'fingerprint', 'hex') THEN
             outcome := jsonb_build_object('replay', prior.order_id);
           ELSE
             outcome := jsonb_build_object('problem', 'idempotency_mismatch');
           END IF;
         END IF;
       END IF;

       IF outcome IS NULL AND ord->'caller'->>'kind' = 'agent' THEN
         SELECT d.* INTO dead FROM sever_denial(p_tenant,
           ARRAY(SELECT jsonb_array_elements_text(ord->'caller'->'subjects')),
           ARRAY(SELECT jsonb_array_elements_text(ord->'caller'->'generations')::bigint)) d;
         IF FOUND THEN
           outcome := jsonb_build_object('problem',
             CASE dead.action WHEN 'suspend' THEN 'agent_suspended' ELSE 'agent_revoked' END, 'kill_id', dead.order_id);
         END IF;
       END IF;

       wires := '{}';
       named := '[]';
       holds := '[]';
       missing := coalesce(nullif(ord->'not_found', 'null'), '[]');
       IF outcome IS NULL THEN
         FOR item IN SELECT value FROM jsonb_array_elements(ord->'subjects') LOOP
           SELECT r.* INTO found_one FROM sever_resolve(p_tenant, the_action,
             coalesce((ord->>'only')::boolean, false), item->>'kind', item->>'id') r;
           IF NOT sever_may_name(ord->'caller'->>'kind', the_action, item->>'kind') THEN
             outcome := jsonb_build_object('problem', 'not_a_descendant', 'subject', item);
             EXIT;
           ELSIF found_one.wire IS NULL THEN
             missing := missing || item;
           ELSIF (ord->'caller'->>'kind' = 'service' AND found_one.service_id IS DISTINCT FROM ord->'caller'->>'service_id')
              OR (ord->'caller'->>'kind' = 'agent'
                  AND NOT coalesce(('agent:' || (ord->'caller'->>'agent_id')) = ANY (found_one.path), false)) THEN
             outcome := jsonb_build_object('problem', 'not_a_descendant', 'subject', item);
             EXIT;
           ELSIF NOT found_one.ended AND NOT found_one.wire = ANY (wires) THEN
             wires := wires || found_one.wire;
             named := named || item;
             IF ord->>'hold_ms' IS NOT NULL AND found_one.service_id IS NOT NULL THEN
               holds := holds || jsonb_build_object('service', found_one.service_id, 'initiator', found_one.initiator_id);
             END IF;
           ELSIF found_one.ended THEN
             outcome := jsonb_build_object('id', ord->'id', 'noop', true);
           END IF;
         END LOOP;
         IF outcome IS NULL AND cardinality(wires) = 0 THEN
           outcome := jsonb_build_object('problem', 'not_found', 'not_found', missing);
         END IF;
       END IF;

       IF outcome IS NULL AND (ord->>'if_plan_hash' IS NOT NULL OR ord->>'max_agents' IS NOT NULL) THEN
         plan := sever_plan(p_tenant, coalesce((ord->>'only')::boolean, false), named);
         IF ord->>'if_plan_hash' <> plan->>'plan_hash' THEN
           outcome := jsonb_build_object('problem', 'plan_changed', 'plan_hash', plan->'plan_hash', 'agents', plan->'agents');
         ELSIF (ord->>'max_agents')::bigint < (plan->>'agents')::bigint THEN
           outcome := jsonb_build_object('problem', 'too_wide', 'agents', plan->'agents', 'max_agents', ord->'max_agents');
         END IF;
       END IF;

       IF outcome IS NULL THEN
         ts := clock_timestamp();
         audit_hash := sever_base64url(sever_audit(p_tenant, ord->>'audit_id',
           CASE WHEN ord ? 'escalates' THEN 'escalate' ELSE the_action END, jsonb_build_object(
           'order_id', ord->'id', 'actor', ord->'actor', 'subjects', named, 'on_the_wire', to_jsonb(wires),
           'reason', ord->'reason', 'ticket', ord->'ticket')));
         FOREACH the_wire IN ARRAY wires LOOP
           IF NOT sever_has_generation(the_wire) OR the_action = 'suspend' THEN
             -- An escalated order is lifted as a suspension, and a lifted id never returns: what stays goes on under another.
             the_wire_id := CASE WHEN ord ? 'escalates' THEN ord->>'audit_id' ELSE ord->>'id' END;
             to_append := to_append || jsonb_build_object('order_id', ord->'id', 'audit', audit_hash, 'wire', the_wire,
               'suspends', the_wire_id, 'level', ord->'level', 'kills', the_action = 'kill',
               'op', sever_suspend_op(the_wire_id, the_wire, ord->>'level', ord->>'in_flight'));
             IF the_action = 'kill' AND the_wire LIKE 'signing_key:%' THEN
               to_append := to_append || coalesce((SELECT jsonb_agg(jsonb_build_object('order_id', ord->'id', 'audit', audit_hash, 'op', o))
                 FROM jsonb_array_elements_text(sever_retire_key(p_tenant, substr(the_wire, 13))) o), '[]');
             END IF;
           ELSE
             raised := sever_raise_floor(p_tenant, the_wire, ord->>'id', the_action, the_epoch);
             to_append := to_append || jsonb_build_object('order_id', ord->'id', 'audit', audit_hash, 'wire', the_wire,
               'op', jsonb_strip_nulls(jsonb_build_object('op', 'floor', 'subject', the_wire, 'generation', raised,
                 'in_flight', nullif(ord->>'in_flight', 'abort')))::text);
           END IF;
         END LOOP;
         IF the_action = 'kill' THEN
           INSERT INTO standing_kill (tenant, subject, order_id) SELECT p_tenant, w, ord->>'id' FROM unnest(wires) w
           ON CONFLICT DO NOTHING;
           INSERT INTO root_hold (tenant, order_id, service_id, initiator_id, until)
           SELECT DISTINCT p_tenant, ord->>'id', h->>'service', h->>'initiator',
             ts + make_interval(secs => (ord->>'hold_ms')::double precision / 1000)
           FROM jsonb_array_elements(holds) h;
         ELSIF the_action = 'complete' THEN
           UPDATE agent SET completed_at = ts, listed_state = 'completed'
           WHERE tenant = p_tenant AND id IN (SELECT s->>'id' FROM jsonb_array_elements(named) s WHERE s->>'kind' = 'agent')
             AND completed_at IS NULL;
           UPDATE task SET completed_at = ts
           WHERE tenant = p_tenant AND id IN (SELECT s->>'id' FROM jsonb_array_elements(named) s WHERE s->>'kind' = 'task')
             AND completed_at IS NULL;
         END IF;
         IF ord ? 'escalates' THEN
           to_append := to_append || COALESCE((SELECT jsonb_agg(DISTINCT jsonb_build_object('order_id', ord->'id',
               'audit', audit_hash, 'op', jsonb_build_object('op', 'lift', 'id', u.wire_id)::text))
             FROM suspension u WHERE u.tenant = p_tenant AND u.order_id = ord->>'id' AND u.lifted_at IS NULL), '[]');
           UPDATE suspension SET lifted_at = ts WHERE tenant = p_tenant AND order_id = ord->>'id' AND lifted_at IS NULL;
         END IF;
         outcome := jsonb_build_object('id', ord->'id', 'created_at', ts, 'lease_valid_ms', lease_ms, 'not_found', missing);
         committed := committed || (ord || jsonb_build_object('not_found', missing, 'created_at', ts, 'named', named,
           'holds', jsonb_array_length(holds) > 0));
       ELSIF idem IS NOT NULL AND outcome ? 'problem' THEN
         -- A refused order leaves its key free, so that the corrected call can use it.
         DELETE FROM idempotency_key WHERE tenant = p_tenant AND principal_id = idem->>'principal_id'
           AND key = idem->>'key' AND order_id = ord->>'id';
       END IF;
       outcomes := outcomes || outcome;
     END LOOP;

     IF jsonb_array_length(to_append) = 0 THEN RETURN outcomes; END IF;

     entries := sever_append(p_tenant, the_epoch, to_append);
     -- Under the lock of the head: an emergency that was refused meanwhile is seen here, or sees this order.
     IF EXISTS (SELECT FROM emergency e JOIN jsonb_array_elements(committed) o ON o->>'id' = e.kill_id
                WHERE e.tenant = p_tenant AND e.state <> 'committed') THEN
       RAISE EXCEPTION 'an order of this batch has been refused meanwhile' USING ERRCODE = '40001';
     END IF;
     PERFORM sever_record_orders(p_tenant, the_epoch, lease_ms, committed, to_append, entries);

     SELECT jsonb_agg(CASE WHEN o ? 'created_at' THEN o || jsonb_build_object('epoch', the_epoch, 'entries',
              (SELECT jsonb_agg(jsonb_build_object('seq', v->'seq', 'payload', v->'payload') ORDER BY (v->>'seq')::bigint)
               FROM jsonb_array_elements(entries) v WHERE v->>'order_id' = o->>'id')) ELSE o END ORDER BY n)
     INTO outcomes FROM jsonb_array_elements(outcomes) WITH ORDINALITY AS z(o, n);
     RETURN outcomes;
   END $$`,
];
