/**
 * Notices that the database has gone back, and opens a new epoch: the same place of the stream never means two things.
 *
 * A mark is a place that is known to have been committed: {"tenant", "epoch", "seq", "digest", "lease_ms", "because"}.
 * digest: the chain's value after it, base64url, when known. lease_ms: the longest lease that the owner of the mark knows of.
 */
export const epochSql = [
  /*
   * The timeline of the log that is written now: the control file learns of a promotion only at its next checkpoint.
   * Not on a standby, which writes none.
   */
  `CREATE OR REPLACE FUNCTION sever_present_identity() RETURNS TABLE (system_identifier text, timeline bigint)
   LANGUAGE sql VOLATILE AS $$
     SELECT s.system_identifier::text, ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint
     FROM pg_control_system() s
   $$`,

  // Is this place another one here, or not there? NULL for the head of a tenant that does not exist.
  `CREATE OR REPLACE FUNCTION sever_has_lost(p_tenant text, p_epoch bigint, p_seq bigint, p_digest text) RETURNS boolean
   LANGUAGE sql VOLATILE AS $$
     SELECT (h.epoch, h.seq) < (p_epoch, p_seq)
       OR (h.epoch = p_epoch AND p_digest IS NOT NULL AND p_digest IS DISTINCT FROM coalesce(
             CASE WHEN h.seq = p_seq THEN sever_base64url(h.digest)
                  ELSE (SELECT sever_base64url(e.digest) FROM stream_entry e
                        WHERE e.tenant = h.tenant AND e.epoch = h.epoch AND e.seq = p_seq) END, p_digest))
     FROM stream_head h WHERE h.tenant = p_tenant
   $$`,

  `CREATE OR REPLACE FUNCTION sever_gone_back(p_marks jsonb)
   RETURNS TABLE (tenant text, because text, seen_epoch bigint, seen_seq bigint, lease_ms integer)
   LANGUAGE sql VOLATILE AS $$
     WITH mark AS (
       SELECT m.*, sever_has_lost(m.tenant, m.epoch, m.seq, m.digest) AS lost
       FROM jsonb_to_recordset(p_marks) AS m(tenant text, epoch bigint, seq bigint, digest text, lease_ms integer, because text)
     ), moved AS (
       SELECT CASE WHEN d.system_identifier <> i.system_identifier THEN 'system_identifier' ELSE 'timeline' END AS because
       FROM database_identity d, sever_present_identity() i
       WHERE (d.system_identifier, d.timeline) <> (i.system_identifier, i.timeline)
     )
     SELECT h.tenant, coalesce(moved.because, m.because, 'published'), CASE WHEN m.lost THEN m.epoch END,
            CASE WHEN m.lost THEN m.seq END, m.lease_ms
     FROM stream_head h LEFT JOIN moved ON true LEFT JOIN mark m ON m.tenant = h.tenant
     WHERE moved.because IS NOT NULL OR m.lost
   $$`,

  /*
   * Opens a new epoch for each tenant whose stream has gone back; for all of them when this is another cluster than it says.
   * Returns what was opened: [{"tenant", "epoch", "because", "former_epoch", "former_seq", "seen_epoch", "seen_seq"}].
   *
   * Locks: none while nothing is wrong. Else an advisory lock, so that of several replicas one opens and the others find
   * it done; then each tenant's row of stream_head until commit, so that nothing is appended to the epoch that ends here.
   */
  `CREATE OR REPLACE FUNCTION sever_keep_continuity(p_marks jsonb) RETURNS jsonb
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     gone record;
     head stream_head;
     now_is record;
     lease_ms integer;
     opened jsonb := '[]';
   BEGIN
     IF pg_is_in_recovery() THEN RETURN opened; END IF;
     IF EXISTS (SELECT FROM database_identity) AND NOT EXISTS (SELECT FROM sever_gone_back(p_marks)) THEN RETURN opened; END IF;
     PERFORM pg_advisory_xact_lock(7400003);
     FOR gone IN SELECT * FROM sever_gone_back(p_marks) ORDER BY 1 LOOP
       SELECT * INTO STRICT head FROM stream_head WHERE tenant = gone.tenant FOR UPDATE;
       SELECT greatest(t.lease_valid_ms, t.lease_valid_ms_before, coalesce(gone.lease_ms, 600000)) INTO STRICT lease_ms
       FROM tenant t WHERE t.id = gone.tenant;
       INSERT INTO epoch_opening (tenant, epoch, opened_at, because, former_epoch, former_seq, seen_epoch, seen_seq, lease_valid_ms)
       VALUES (gone.tenant, greatest(head.epoch, gone.seen_epoch) + 1, clock_timestamp(), gone.because, head.epoch, head.seq,
               gone.seen_epoch, gone.seen_seq, lease_ms);
       UPDATE stream_head SET epoch = greatest(head.epoch, gone.seen_epoch) + 1, seq = 0, compacted_below = 1,
         digest = decode(repeat('00', 32), 'hex')
       WHERE tenant = gone.tenant;
       opened := opened || jsonb_build_object('tenant', gone.tenant, 'epoch', greatest(head.epoch, gone.seen_epoch) + 1,
         'because', gone.because, 'former_epoch', head.epoch, 'former_seq', head.seq, 'seen_epoch', gone.seen_epoch,
         'seen_seq', gone.seen_seq);
       PERFORM sever_audit(gone.tenant, sever_audit_id(), 'open_epoch', opened->-1);
       PERFORM pg_notify('sever_stream', gone.tenant);
     END LOOP;
     SELECT * INTO now_is FROM sever_present_identity();
     INSERT INTO database_identity (system_identifier, timeline) VALUES (now_is.system_identifier, now_is.timeline)
     ON CONFLICT (one) DO UPDATE SET system_identifier = excluded.system_identifier, timeline = excluded.timeline;
     RETURN opened;
   END $$`,

  // For records that the database writes of itself: hexadecimal digits are letters of an id too.
  `CREATE OR REPLACE FUNCTION sever_audit_id() RETURNS text
   LANGUAGE sql VOLATILE AS $$
     SELECT 'aud_0' || substr(encode(sha256(convert_to(gen_random_uuid()::text, 'UTF8')), 'hex'), 1, 25)
   $$`,
];
