import { createHash } from 'node:crypto';
import { Client } from 'pg';
import { DataSource } from 'typeorm';
import { FUNCTIONS } from './functions';
import { MIGRATIONS } from './migrations';

/** One lock for the whole cluster's migrations of one database; replicas that start together wait for each other. */
const MIGRATION_LOCK = 7_400_001;

/**
 * Brings a database to the present schema, as the URL's own user (the roles that the server works under may not change
 * the schema). Safe when several replicas start at once.
 */
export async function migrate(databaseUrl: string): Promise<void> {
  const guard = new Client({ connectionString: databaseUrl, application_name: 'sever-migrate' });
  await guard.connect();
  try {
    await guard.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    const source = new DataSource({
      type: 'postgres',
      url: databaseUrl,
      applicationName: 'sever-migrate',
      migrations: MIGRATIONS,
      migrationsTableName: 'sever_migration',
      synchronize: false,
      logging: false,
    });
    await source.initialize();
    try {
      await source.runMigrations({ transaction: 'each' });
      await makeFunctions(guard);
    } finally {
      await source.destroy();
    }
  } finally {
    await guard.end();
  }
}

/**
 * The critical transactions, made anew whenever their text has changed. They run with the rights of whoever calls them,
 * so row-level security holds inside. In one transaction, so that a replica of the former version calls the old set or
 * the new one, never a mixture.
 */
async function makeFunctions(client: Client): Promise<void> {
  const text = createHash('sha256').update(FUNCTIONS.join(';')).digest('hex');
  await client.query(
    `CREATE TABLE IF NOT EXISTS sever_functions (one boolean PRIMARY KEY DEFAULT true CHECK (one), text text NOT NULL)`,
  );
  const { rows } = await client.query<{ text: string }>(`SELECT text FROM sever_functions`);
  if (rows[0]?.text === text) return;
  await client.query('BEGIN');
  try {
    for (const sql of FUNCTIONS) await client.query(sql);
    await client.query(
      `INSERT INTO sever_functions (text) VALUES ($1) ON CONFLICT (one) DO UPDATE SET text = excluded.text`,
      [text],
    );
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}
