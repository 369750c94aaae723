/**
 * The fence: who spawns or mints takes it shared, who kills takes it exclusive.
 *
 * Locks: transaction-scoped advisory locks, one for each tree (named by its root agent) and one for each other subject,
 * always in ascending order of their key, so that two transactions never wait for each other in a circle.
 * Isolation: READ COMMITTED, asserted. A statement begun after the lock was granted sees everything committed before;
 * under REPEATABLE READ, or with lock and check in one statement, the check would read a snapshot older than the lock
 * and let a child slip past the kill.
 */
export const fenceSql = [
  `CREATE OR REPLACE FUNCTION sever_lock_key(p_tenant text, p_subject text) RETURNS bigint
   LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
     SELECT hashtextextended(p_tenant || '/' || p_subject, 7400)
   $$`,

  fence('shared', 'pg_advisory_xact_lock_shared'),
  fence('exclusive', 'pg_advisory_xact_lock'),
];

function fence(mode: 'shared' | 'exclusive', lock: string): string {
  return `CREATE OR REPLACE FUNCTION sever_fence_${mode}(p_tenant text, p_subjects text[]) RETURNS void
   LANGUAGE plpgsql VOLATILE AS $$
   DECLARE lock_key bigint;
   BEGIN
     IF current_setting('transaction_isolation') <> 'read committed' THEN
       RAISE EXCEPTION 'the fence needs READ COMMITTED, not %', current_setting('transaction_isolation');
     END IF;
     FOR lock_key IN SELECT DISTINCT sever_lock_key(p_tenant, s) AS k FROM unnest(p_subjects) s ORDER BY k LOOP
       PERFORM ${lock}(lock_key);
     END LOOP;
   END $$`;
}
