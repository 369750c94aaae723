import type { QueryRunner } from 'typeorm';

/**
 * Row-level security of one table: `sever_app` sees and writes only rows of the tenant that its unit of work has named,
 * `sever_system` sees all. Nobody may delete.
 */
export async function protectTable(
  runner: QueryRunner,
  table: string,
  column = 'tenant',
): Promise<void> {
  await runner.query(`ALTER TABLE ${table} ENABLE ROW LEVEL SECURITY`);
  await runner.query(`ALTER TABLE ${table} FORCE ROW LEVEL SECURITY`);
  await runner.query(`
    CREATE POLICY own_tenant ON ${table} TO sever_app
      USING (${column} = current_setting('app.tenant', true))
      WITH CHECK (${column} = current_setting('app.tenant', true))`);
  await runner.query(
    `CREATE POLICY every_tenant ON ${table} TO sever_system USING (true) WITH CHECK (true)`,
  );
  await runner.query(`GRANT SELECT, INSERT, UPDATE ON ${table} TO sever_app, sever_system`);
}
