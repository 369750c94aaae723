/**
 * Appends entries to a tenant's revocation stream. Call it as the *last* write of a transaction.
 *
 * Locks: the tenant's row of stream_head, until commit. It makes the order of sequence numbers the order of commits,
 * and a rollback leaves no hole. p_epoch is the epoch that the caller reckoned with; if it changed meanwhile the
 * transaction is refused (40001) and may be tried again.
 *
 * p_items: [{"order_id", "op", "audit"}]. Returns [{"order_id", "seq", "payload"}] in order.
 */
export const appendSql = [
  `CREATE OR REPLACE FUNCTION sever_base64url(p_bytes bytea) RETURNS text
   LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
     SELECT rtrim(translate(encode(p_bytes, 'base64'), E'+/\\n', '-_'), '=')
   $$`,

  `CREATE OR REPLACE FUNCTION sever_append(p_tenant text, p_epoch bigint, p_items jsonb) RETURNS jsonb
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     head stream_head;
     item jsonb;
     appended_at timestamptz;
     entry_payload text;
     entries jsonb := '[]';
   BEGIN
     SELECT * INTO STRICT head FROM stream_head WHERE tenant = p_tenant FOR UPDATE;
     IF head.epoch <> p_epoch THEN
       RAISE EXCEPTION 'the stream has moved on to epoch %', head.epoch USING ERRCODE = '40001';
     END IF;
     FOR item IN SELECT value FROM jsonb_array_elements(p_items) LOOP
       head.seq := head.seq + 1;
       appended_at := sever_order_time(p_tenant);
       entry_payload := format(
         '{"type":"entry","v":1,"tenant":%s,"epoch":%s,"seq":%s,"op":%s,"kill_id":%s,"digest":"%s","audit":"%s","at":%s}',
         to_json(p_tenant), head.epoch, head.seq, item->>'op', item->'order_id',
         sever_base64url(head.digest), item->>'audit', floor(extract(epoch FROM appended_at) * 1000)::bigint);
       head.digest := sha256(head.digest || sha256(convert_to(entry_payload, 'UTF8')));
       INSERT INTO stream_entry (tenant, epoch, seq, order_id, payload, digest, at)
       VALUES (p_tenant, head.epoch, head.seq, item->>'order_id', entry_payload, head.digest, appended_at);
       entries := entries || jsonb_build_object('order_id', item->'order_id', 'seq', head.seq, 'payload', entry_payload);
     END LOOP;
     UPDATE stream_head SET seq = head.seq, digest = head.digest WHERE tenant = p_tenant;
     PERFORM pg_notify('sever_stream', p_tenant);
     RETURN entries;
   END $$`,
];
