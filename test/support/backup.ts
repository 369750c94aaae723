import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import type { TestDatabase } from './cluster';

export interface Backup {
  /** Puts the database back to where it was, under its own name, and under whoever is connected to it. */
  restore(): Promise<void>;
}

/** A copy of a database as it stands now. Connections to it are lost, as they are at a restore. */
export async function backUp(database: TestDatabase): Promise<Backup> {
  const name = nameOf(database);
  const copy = `b_${randomBytes(8).toString('hex')}`;
  await inCluster(database, async (client) => {
    await withoutConnections(client, name, `CREATE DATABASE ${copy} TEMPLATE ${name}`);
  });
  return {
    restore: () =>
      inCluster(database, async (client) => {
        await client.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS false`);
        await client.query(`DROP DATABASE ${name} WITH (FORCE)`);
        await client.query(`CREATE DATABASE ${name} TEMPLATE ${copy}`);
      }),
  };
}

async function withoutConnections(client: Client, name: string, statement: string): Promise<void> {
  await client.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS false`);
  try {
    await client.query(
      `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1`,
      [name],
    );
    await client.query(statement);
  } finally {
    await client.query(`ALTER DATABASE ${name} ALLOW_CONNECTIONS true`);
  }
}

async function inCluster(
  database: TestDatabase,
  work: (client: Client) => Promise<void>,
): Promise<void> {
  const url = new URL(database.url);
  url.pathname = '/postgres';
  const client = new Client({ connectionString: url.href });
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

function nameOf({ url }: TestDatabase): string {
  return new URL(url).pathname.slice(1);
}
