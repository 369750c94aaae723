import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Client } from 'pg';
import { startEmbedded, type Embedded } from '../../src/embedded/start-embedded';
import { createRunFolder } from './run-folder';

const TEMPLATE = 'sever_template';

/** How the workers of one Jest run find its cluster. */
const CLUSTER_URL = 'SEVER_TEST_CLUSTER_URL';

export interface TestDatabase {
  url: string;
  drop(): Promise<void>;
}

/** One Postgres for the whole run, with a migrated template in it. */
export async function startCluster(): Promise<Embedded> {
  const cluster = await startEmbedded({
    dataDir: join(createRunFolder('test-cluster'), 'data'),
    durable: false,
    nats: false,
    log: () => undefined,
  });
  const url = cluster.databaseUrl;
  if (!url) throw new Error('the test cluster has no database');
  await inCluster(url, `CREATE DATABASE ${TEMPLATE}`);
  await migrateTemplate(withDatabase(url, TEMPLATE));
  process.env[CLUSTER_URL] = url;
  return cluster;
}

/** A database of its own for one test file, a copy of the migrated template. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const cluster = process.env[CLUSTER_URL];
  if (!cluster)
    throw new Error(`no test cluster: run this under Jest, whose global setup starts one`);
  const name = `t_${randomBytes(8).toString('hex')}`;
  await inCluster(cluster, `CREATE DATABASE ${name} TEMPLATE ${TEMPLATE}`);
  return {
    url: withDatabase(cluster, name),
    drop: () => inCluster(cluster, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

async function migrateTemplate(url: string): Promise<void> {
  const file = resolve(__dirname, '../../src/database/migrate.ts');
  if (!existsSync(file)) return;
  const { migrate } = (await import(file)) as { migrate(databaseUrl: string): Promise<unknown> };
  await migrate(url);
}

async function inCluster(url: string, statement: string): Promise<void> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

function withDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}
