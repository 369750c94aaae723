import { Client } from 'pg';
import { DataSource } from 'typeorm';
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
    } finally {
      await source.destroy();
    }
  } finally {
    await guard.end();
  }
}
