/**
 * Writes the one audit record of a state change, in the change's own transaction. Returns the hash of the record, which
 * a kill also carries in its stream entry. Locks: none; chaining is somebody else's work, because a chain under a lock
 * would queue every spawn.
 */
export const auditSql = [
  `CREATE OR REPLACE FUNCTION sever_audit(p_tenant text, p_id text, p_action text, p_record jsonb) RETURNS bytea
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE
     recorded_at timestamptz := clock_timestamp();
     record_text text := (p_record || jsonb_build_object(
       'id', p_id, 'tenant', p_tenant, 'action', p_action,
       'at', to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')))::text;
     record_hash bytea := sha256(convert_to(record_text, 'UTF8'));
   BEGIN
     INSERT INTO audit_record (tenant, id, at, action, record, hash)
     VALUES (p_tenant, p_id, recorded_at, p_action, record_text, record_hash);
     RETURN record_hash;
   END $$`,
];
