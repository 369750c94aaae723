/**
 * Commits a batch of orders (kill, suspend, complete) of one tenant in ONE call: each waits for nothing but the fence
 * and the head of the stream, each is validated on its own, and their entries get consecutive sequence numbers.
 *
 * Locks: the fence, exclusive, on every tree or subject named by the batch, in ascending order; stream_head last, inside
 * sever_append. Isolation: READ COMMITTED; every check below the fence reads with a new snapshot. O(1) in the size of
 * the tree: one floor, one entry for each subject. The roster is not written: it follows from the boots.
 *
 * An order: {id, action, subjects:[{kind,id}], only, reason, ticket, level, actor:{id,name,kind},
 *            caller:{kind:"operator"|"service"|"agent", service_id, agent_id, subjects, generations},
 *            idempotency:{principal_id, key, fingerprint}|null, audit_id}
 * Its outcome: {"problem": code, …} with nothing written · {"replay": id} · {"id", "noop": true} for a completion that
 * had happened already · or the committed order with its entries.
 */
export const revokeSql = [
  // What an order's subject is on the wire, whose tree it stands in, and whether the caller may touch it.
  `CREATE OR REPLACE FUNCTION sever_resolve(p_tenant text, p_action text, p_only boolean, p_kind text, p_id text)
   RETURNS TABLE (wire text, lock_subject text, owner_id text, service_id text, path text[], ended boolean)
   LANGUAGE plpgsql VOLATILE ROWS 1 AS $$
   BEGIN
     IF p_kind = 'agent' THEN
       RETURN QUERY SELECT CASE p_action WHEN 'complete' THEN 'grant:' || a.base_grant_id ELSE 'agent:' || a.id END,
         'agent:' || a.root_id, a.id, a.service_id, a.lin_subjects || ('agent:' || a.id),
         p_action = 'complete' AND a.completed_at IS NOT NULL
       FROM agent a WHERE a.tenant = p_tenant AND a.id = p_id;
     ELSIF p_kind = 'credential' THEN
       RETURN QUERY SELECT CASE WHEN p_only THEN 'credential:' || c.id ELSE 'family:' || c.family_id END,
         'agent:' || a.root_id, a.id, a.service_id, a.lin_subjects || ('agent:' || a.id), false
       FROM credential c JOIN agent a ON a.tenant = c.tenant AND a.id = c.agent_id
       WHERE c.tenant = p_tenant AND c.id = p_id;
     ELSIF p_kind = 'task' THEN
       RETURN QUERY SELECT 'task:' || k.id, 'task:' || k.id, a.id, a.service_id, a.lin_subjects || ('agent:' || a.id),
         p_action = 'complete' AND k.completed_at IS NOT NULL
       FROM task k JOIN agent a ON a.tenant = k.tenant AND a.id = k.opened_by
       WHERE k.tenant = p_tenant AND k.id = p_id;
     ELSIF p_kind = 'enforcement_point' THEN
       RETURN QUERY SELECT 'enforcement_point:' || e.id, 'enforcement_point:' || e.id, NULL::text, NULL::text,
         NULL::text[], false
       FROM enforcement_point e WHERE e.tenant = p_tenant AND e.id = p_id;
     END IF;
   END $$`,

  `CREATE OR REPLACE FUNCTION sever_revoke(p_tenant text, p_orders jsonb) RETURNS jsonb
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     ord jsonb;
     item jsonb;
     idem jsonb;
     prior idempotency_key;
     found_one record;
     dead record;
     outcome jsonb;
     outcomes jsonb := '[]';
     to_append jsonb := '[]';
     committed jsonb := '[]';
     wires text[];
     missing jsonb;
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
     SELECT coalesce(array_agg(DISTINCT r.lock_subject), '{}') INTO lock_subjects
     FROM jsonb_array_elements(p_orders) o,
          jsonb_array_elements(o->'subjects') s,
          sever_resolve(p_tenant, o->>'action', coalesce((o->>'only')::boolean, false), s->>'kind', s->>'id') r;
     PERFORM sever_fence_exclusive(p_tenant, lock_subjects);

     SELECT epoch INTO STRICT the_epoch FROM stream_head WHERE tenant = p_tenant;
     SELECT CASE WHEN lease_changed_at > clock_timestamp() - interval '12 minutes'
                 THEN greatest(lease_valid_ms, lease_valid_ms_before) ELSE lease_valid_ms END
     INTO STRICT lease_ms FROM tenant WHERE id = p_tenant;

     FOR ord IN SELECT value FROM jsonb_array_elements(p_orders) LOOP
       outcome := NULL;
       idem := nullif(ord->'idempotency', 'null');
       -- Sent again because the answer to its COMMIT was lost: the same order, once.
       IF EXISTS (SELECT FROM revocation WHERE tenant = p_tenant AND id = ord->>'id') THEN
         outcome := jsonb_build_object('replay', ord->>'id');
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
       missing := '[]';
       IF outcome IS NULL THEN
         FOR item IN SELECT value FROM jsonb_array_elements(ord->'subjects') LOOP
           SELECT r.* INTO found_one FROM sever_resolve(p_tenant, ord->>'action',
             coalesce((ord->>'only')::boolean, false), item->>'kind', item->>'id') r;
           IF NOT FOUND THEN
             missing := missing || item;
           ELSIF (ord->'caller'->>'kind' = 'service' AND found_one.service_id IS DISTINCT FROM ord->'caller'->>'service_id')
              OR (ord->'caller'->>'kind' = 'agent'
                  AND NOT coalesce(('agent:' || (ord->'caller'->>'agent_id')) = ANY (found_one.path), false)) THEN
             outcome := jsonb_build_object('problem', 'not_a_descendant', 'subject', item);
             EXIT;
           ELSIF NOT found_one.ended AND NOT found_one.wire = ANY (wires) THEN
             wires := wires || found_one.wire;
           ELSIF found_one.ended THEN
             outcome := jsonb_build_object('id', ord->'id', 'noop', true);
           END IF;
         END LOOP;
         IF outcome IS NULL AND cardinality(wires) = 0 THEN
           outcome := jsonb_build_object('problem', 'not_found', 'not_found', missing);
         END IF;
       END IF;

       IF outcome IS NULL THEN
         ts := clock_timestamp();
         audit_hash := sever_base64url(sever_audit(p_tenant, ord->>'audit_id', ord->>'action', jsonb_build_object(
           'order_id', ord->'id', 'actor', ord->'actor', 'subjects', ord->'subjects', 'on_the_wire', to_jsonb(wires),
           'reason', ord->'reason', 'ticket', ord->'ticket')));
         FOR i IN 1 .. cardinality(wires) LOOP
           IF split_part(wires[i], ':', 1) IN ('enforcement_point', 'enrolment_key', 'signing_key', 'tool', 'upstream')
              OR ord->>'action' = 'suspend' THEN
             to_append := to_append || jsonb_build_object('order_id', ord->'id', 'audit', audit_hash, 'wire', wires[i],
               'suspends', true,
               'op', format('{"op":"suspend","id":%s,"subject":%s%s}', ord->'id', to_json(wires[i]),
                            CASE WHEN ord->>'level' IS NULL THEN '' ELSE ',"level":' || (ord->'level')::text END));
           ELSE
             -- Dead already: raises nothing, keeps the order that killed it, and is published again all the same.
             INSERT INTO subject AS s (tenant, subject, floor, floor_order, floor_action, floored_at)
             VALUES (p_tenant, wires[i], greatest(2, the_epoch << 32), ord->>'id',
                     CASE ord->>'action' WHEN 'complete' THEN 'complete' ELSE 'kill' END, sever_order_time(p_tenant))
             ON CONFLICT (tenant, subject) DO UPDATE SET
               floor = greatest(s.floor, s.generation + 1, the_epoch << 32),
               -- The order that killed it stays the reason; only a kill takes the place of a completion.
               floor_order = CASE WHEN s.generation < s.floor AND (s.floor_action = 'kill' OR excluded.floor_action = 'complete')
                                  THEN s.floor_order ELSE excluded.floor_order END,
               floor_action = CASE WHEN s.generation < s.floor AND (s.floor_action = 'kill' OR excluded.floor_action = 'complete')
                                   THEN s.floor_action ELSE excluded.floor_action END,
               floored_at = excluded.floored_at
             RETURNING s.floor INTO raised;
             to_append := to_append || jsonb_build_object('order_id', ord->'id', 'audit', audit_hash, 'wire', wires[i],
               'suspends', false,
               'op', format('{"op":"floor","subject":%s,"generation":%s}', to_json(wires[i]), raised));
           END IF;
         END LOOP;
         IF ord->>'action' = 'complete' THEN
           UPDATE agent SET completed_at = ts, listed_state = 'completed'
           WHERE tenant = p_tenant AND id IN (SELECT s->>'id' FROM jsonb_array_elements(ord->'subjects') s WHERE s->>'kind' = 'agent')
             AND completed_at IS NULL;
           UPDATE task SET completed_at = ts
           WHERE tenant = p_tenant AND id IN (SELECT s->>'id' FROM jsonb_array_elements(ord->'subjects') s WHERE s->>'kind' = 'task')
             AND completed_at IS NULL;
         END IF;
         outcome := jsonb_build_object('id', ord->'id', 'created_at', ts, 'lease_valid_ms', lease_ms, 'not_found', missing);
         committed := committed || (ord || jsonb_build_object('not_found', missing, 'created_at', ts));
       ELSIF idem IS NOT NULL AND outcome ? 'problem' THEN
         -- A refused order leaves its key free, so that the corrected call can use it.
         DELETE FROM idempotency_key WHERE tenant = p_tenant AND principal_id = idem->>'principal_id'
           AND key = idem->>'key' AND order_id = ord->>'id';
       END IF;
       outcomes := outcomes || outcome;
     END LOOP;

     IF jsonb_array_length(to_append) = 0 THEN RETURN outcomes; END IF;

     entries := sever_append(p_tenant, the_epoch, to_append);
     INSERT INTO revocation (tenant, id, action, subjects, not_found, reason, ticket, created_at, created_by, epoch,
                             first_seq, last_seq, lease_valid_ms)
     SELECT p_tenant, o->>'id', o->>'action', o->'subjects', o->'not_found', o->>'reason', o->>'ticket',
            (o->>'created_at')::timestamptz, o->'actor', the_epoch, e.first_seq, e.last_seq, lease_ms
     FROM jsonb_array_elements(committed) o
     JOIN (SELECT v->>'order_id' AS order_id, min((v->>'seq')::bigint) AS first_seq, max((v->>'seq')::bigint) AS last_seq
           FROM jsonb_array_elements(entries) v GROUP BY 1) e ON e.order_id = o->>'id';
     INSERT INTO suspension (tenant, order_id, subject, level, epoch, seq)
     SELECT p_tenant, a->>'order_id', a->>'wire', (a->>'op')::jsonb->>'level', the_epoch, (v->>'seq')::bigint
     FROM jsonb_array_elements(to_append) WITH ORDINALITY AS x(a, n)
     JOIN jsonb_array_elements(entries) WITH ORDINALITY AS y(v, n) USING (n)
     WHERE (a->>'suspends')::boolean;
     UPDATE enforcement_point SET revoked_at = clock_timestamp()
     WHERE tenant = p_tenant AND revoked_at IS NULL
       AND 'enforcement_point:' || id IN (SELECT a->>'wire' FROM jsonb_array_elements(to_append) a);
     UPDATE boot b SET until_epoch = the_epoch, until_seq = (v->>'seq')::bigint
     FROM jsonb_array_elements(to_append) WITH ORDINALITY AS x(a, n)
     JOIN jsonb_array_elements(entries) WITH ORDINALITY AS y(v, n) USING (n)
     WHERE b.tenant = p_tenant AND b.until_epoch IS NULL AND a->>'wire' = 'enforcement_point:' || b.ep_id;

     SELECT jsonb_agg(CASE WHEN o ? 'created_at' THEN o || jsonb_build_object('epoch', the_epoch, 'entries',
              (SELECT jsonb_agg(jsonb_build_object('seq', v->'seq', 'payload', v->'payload') ORDER BY (v->>'seq')::bigint)
               FROM jsonb_array_elements(entries) v WHERE v->>'order_id' = o->>'id')) ELSE o END ORDER BY n)
     INTO outcomes FROM jsonb_array_elements(outcomes) WITH ORDINALITY AS z(o, n);
     RETURN outcomes;
   END $$`,
];
