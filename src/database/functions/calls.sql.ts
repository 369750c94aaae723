/**
 * Partitions of the table of call records. The roles that the server works under may not change the schema, so these run
 * as whoever migrated, and take nothing but days. The third tells where the data lie, for who would measure what is free there.
 *
 * Locks: one transaction at a time (advisory), and none of them waits long for readers. A partition is attached under SHARE
 * UPDATE EXCLUSIVE, which disturbs nobody; one that goes needs the table to itself for a moment, and is left for the next
 * round when it does not get it.
 */
export const callsSql = [
  `CREATE OR REPLACE FUNCTION sever_call_days(first date, last date) RETURNS integer
   LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
   DECLARE
     one date;
     name text;
     made integer := 0;
   BEGIN
     IF last - first > 400 THEN
       RAISE EXCEPTION 'more than 400 days of call records' USING ERRCODE = '22023';
     END IF;
     PERFORM pg_advisory_xact_lock(7415);
     FOR one IN SELECT generate_series(first, last, interval '1 day')::date LOOP
       name := 'call_record_' || to_char(one, 'YYYYMMDD');
       CONTINUE WHEN EXISTS (
         SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'call_record'::regclass AND c.relname = name);
       EXECUTE format('CREATE TABLE %I (LIKE call_record INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
       EXECUTE format('ALTER TABLE call_record ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, one, one + 1);
       made := made + 1;
     END LOOP;
     RETURN made;
   END $$`,
  `CREATE OR REPLACE FUNCTION sever_drop_call_days(before date) RETURNS integer
   LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '2s' AS $$
   DECLARE
     name text;
     dropped integer := 0;
   BEGIN
     PERFORM pg_advisory_xact_lock(7415);
     FOR name IN
       SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
       WHERE i.inhparent = 'call_record'::regclass AND c.relname ~ '^call_record_[0-9]{8}$'
         AND to_date(right(c.relname, 8), 'YYYYMMDD') < before
       ORDER BY 1
     LOOP
       EXECUTE format('DROP TABLE %I', name);
       dropped := dropped + 1;
     END LOOP;
     RETURN dropped;
   END $$`,
  `CREATE OR REPLACE FUNCTION sever_data_directory() RETURNS text
   LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
   BEGIN
     RETURN current_setting('data_directory', true);
   EXCEPTION WHEN insufficient_privilege THEN
     RETURN NULL;
   END $$`,
  `REVOKE EXECUTE ON FUNCTION sever_call_days(date, date), sever_drop_call_days(date), sever_data_directory() FROM PUBLIC`,
  `GRANT EXECUTE ON FUNCTION sever_call_days(date, date), sever_drop_call_days(date), sever_data_directory() TO sever_system`,
];
