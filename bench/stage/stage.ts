import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { Client } from 'pg';
import { Processes } from '../../src/demo/processes';
import { startEmbedded, type Embedded } from '../../src/embedded/start-embedded';
import { createRunFolder } from '../../test/support/run-folder';
import { Api } from './api';
import { ROOT } from './processes';

export interface BrokerAccess {
  readonly url: string;
  readonly credsFile: string;
}

/** What every benchmark stands on: durable Postgres, nats-server, and the built control plane in a process of its own. */
export interface Stage {
  readonly api: Api;
  readonly databaseUrl: string;
  readonly postgres: string;
  readonly broker: BrokerAccess;
  /** Where enforcement points may keep their keys. */
  readonly folder: string;
  /** A reading of the control plane's monotonic clock, on the clock that all processes share. Milliseconds. */
  readonly fromReplicaClock: (reading: number) => number;
  /** Ends the control plane and leaves the stores. */
  readonly stopControlPlane: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

export async function startStage(nodeOptions: readonly string[] = []): Promise<Stage> {
  const folder = createRunFolder('bench');
  const stores = await startEmbedded({ dataDir: join(folder, 'data'), log: () => undefined });
  const processes = new Processes();
  try {
    const { nats, databaseUrl } = stores;
    if (nats === undefined || databaseUrl === undefined) throw new Error('no stores');
    const key = `sk_${randomBytes(32).toString('base64url')}`;
    const started = await processes.start({
      name: 'the control plane',
      args: [...nodeOptions, '-r', join(ROOT, 'bench/stage/say-clock.cjs'), 'dist/main.js'],
      env: settings(folder, key, databaseUrl, nats),
      ready: /(clock zero [\d.-]+[^]*listening on \S+)/,
    });
    const [, zero, url] = /clock zero ([\d.-]+)[^]*listening on (\S+)/.exec(started.found) ?? [];
    const api = new Api(url ?? '', key);
    return {
      ...{ api, databaseUrl, folder },
      postgres: await postgresVersion(databaseUrl),
      broker: { url: nats.url, credsFile: nats.credsFile },
      fromReplicaClock: (reading) => Number(zero) + reading,
      stopControlPlane: () => processes.stopAll(),
      stop: async () => {
        api.close();
        await processes.stopAll();
        await stores.stop();
      },
    };
  } catch (error) {
    await processes.stopAll();
    await stores.stop();
    throw error;
  }
}

function settings(
  folder: string,
  key: string,
  databaseUrl: string,
  nats: NonNullable<Embedded['nats']>,
): Record<string, string> {
  return {
    SEVER_ENV: 'production',
    SEVER_PORT: '0',
    SEVER_HOST: '127.0.0.1',
    SEVER_DATA_DIR: join(folder, 'plane'),
    SEVER_DATABASE_URL: databaseUrl,
    SEVER_NATS_URL: nats.url,
    SEVER_NATS_CREDS: nats.credsFile,
    SEVER_NATS_ACCOUNT_SEED_FILE: nats.accountSeedFile,
    SEVER_MASTER_KEY: randomBytes(32).toString('base64url'),
    SEVER_BOOTSTRAP_KEY: key,
    SEVER_LOG_LEVEL: 'warn',
  };
}

async function postgresVersion(url: string): Promise<string> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ server_version: string }>('SHOW server_version');
    return rows[0]?.server_version ?? 'unknown';
  } finally {
    await client.end();
  }
}
