/**
 * Writes down what a batch of orders has appended: the orders with their places in the stream, the suspensions, and what
 * follows for enforcement points. Called inside sever_revoke, after sever_append, under its locks.
 */
export const recordOrdersSql = [
  `CREATE OR REPLACE FUNCTION sever_record_orders(
     p_tenant text, p_epoch bigint, p_lease_ms integer, p_committed jsonb, p_appended jsonb, p_entries jsonb) RETURNS void
   LANGUAGE plpgsql VOLATILE AS $$
   BEGIN
     WITH place AS (
       SELECT v->>'order_id' AS order_id, min((v->>'seq')::bigint) AS first_seq, max((v->>'seq')::bigint) AS last_seq
       FROM jsonb_array_elements(p_entries) v GROUP BY 1
     )
     INSERT INTO revocation AS r (tenant, id, action, subjects, not_found, reason, ticket, created_at, created_by, epoch,
                                  first_seq, last_seq, lease_valid_ms, level, in_flight, expires_at, hold_until, resolved,
                                  matched, nearest, warnings)
     SELECT p_tenant, o->>'id', o->>'action', o->'named', o->'not_found', o->>'reason', o->>'ticket',
            (o->>'created_at')::timestamptz, o->'actor', p_epoch, place.first_seq, place.last_seq, p_lease_ms, o->>'level',
            coalesce(o->>'in_flight', 'abort'),
            (o->>'created_at')::timestamptz + make_interval(secs => (o->>'expires_ms')::double precision / 1000),
            CASE WHEN (o->>'holds')::boolean
                 THEN (o->>'created_at')::timestamptz + make_interval(secs => (o->>'hold_ms')::double precision / 1000) END,
            nullif(o->'resolved', 'null'), (o->>'matched')::integer, nullif(o->'nearest', 'null'),
            coalesce(nullif(o->'warnings', 'null'), '[]')
     FROM jsonb_array_elements(p_committed) o JOIN place ON place.order_id = o->>'id'
     -- Only an escalation finds its row: the suspension has become this kill.
     ON CONFLICT (tenant, id) DO UPDATE SET
       action = 'kill', epoch = excluded.epoch, first_seq = excluded.first_seq, last_seq = excluded.last_seq,
       lease_valid_ms = excluded.lease_valid_ms, level = NULL, expires_at = NULL, cascade_state = 'pending', replica = NULL,
       committed_mono_ms = NULL,
       escalated = jsonb_build_object('at', excluded.created_at, 'by', excluded.created_by, 'reason', excluded.reason);

     INSERT INTO suspension (tenant, order_id, subject, level, epoch, seq, wire_id)
     SELECT p_tenant, a->>'order_id', a->>'wire', a->>'level', p_epoch, (v->>'seq')::bigint, a->>'suspends'
     FROM jsonb_array_elements(p_appended) WITH ORDINALITY AS x(a, n)
     JOIN jsonb_array_elements(p_entries) WITH ORDINALITY AS y(v, n) USING (n)
     WHERE a ? 'suspends'
     ON CONFLICT (tenant, order_id, subject) DO UPDATE SET
       level = excluded.level, epoch = excluded.epoch, seq = excluded.seq, wire_id = excluded.wire_id, lifted_at = NULL;

     UPDATE enrolment_key SET revoked_at = clock_timestamp(), revoked_by = a->>'order_id'
     FROM jsonb_array_elements(p_appended) a
     WHERE tenant = p_tenant AND revoked_at IS NULL AND (a->>'kills')::boolean AND a->>'wire' = 'enrolment_key:' || id;
     UPDATE enforcement_point e SET revoked_at = clock_timestamp(), revoked_by = a->>'order_id'
     FROM jsonb_array_elements(p_appended) a
     WHERE tenant = p_tenant AND revoked_at IS NULL AND (a->>'kills')::boolean
       AND a->>'wire' IN ('enforcement_point:' || e.id, 'enrolment_key:' || e.enrolment_key_id);
     UPDATE boot b SET until_epoch = p_epoch, until_seq = (v->>'seq')::bigint
     FROM jsonb_array_elements(p_appended) WITH ORDINALITY AS x(a, n)
     JOIN jsonb_array_elements(p_entries) WITH ORDINALITY AS y(v, n) USING (n),
     enforcement_point e
     WHERE b.tenant = p_tenant AND b.until_epoch IS NULL AND (a->>'kills')::boolean
       AND e.tenant = p_tenant AND e.id = b.ep_id
       AND a->>'wire' IN ('enforcement_point:' || e.id, 'enrolment_key:' || e.enrolment_key_id);
   END $$`,
];
