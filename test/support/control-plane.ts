import { randomBytes } from 'node:crypto';
import { SeverClient } from '@sever/cli';
import { loadConfig } from '../../src/config/config';
import { startControlPlane, type ControlPlane } from '../../src/control-plane';
import { startTestBroker, type TestBroker } from './broker';
import { createTestDatabase, type TestDatabase } from './cluster';
import { createRunFolder } from './run-folder';

export interface TestControlPlane {
  readonly url: string;
  /** The bootstrap key, which holds every role. */
  readonly key: string;
  readonly client: SeverClient;
  readonly database: TestDatabase;
  readonly broker: TestBroker;
  readonly plane: ControlPlane;
  /** What it was started with; another replica takes the same. */
  readonly environment: Readonly<Record<string, string>>;
  /** A plain HTTP call, for what a client library would not send. */
  call(method: string, path: string, options?: CallOptions): Promise<Reply>;
  close(): Promise<void>;
}

export interface CallOptions {
  key?: string;
  /** An object is sent as JSON, a string as it is. */
  body?: unknown;
  headers?: Record<string, string>;
}

export interface Reply {
  status: number;
  headers: Headers;
  body: Record<string, unknown>;
  text: string;
}

/** A control plane in this process, on a database of its own and a real broker. */
export async function startTestControlPlane(
  settings: Record<string, string> | ((broker: TestBroker) => Promise<Record<string, string>>) = {},
): Promise<TestControlPlane> {
  const [database, broker] = await Promise.all([createTestDatabase(), startTestBroker()]);
  const env = typeof settings === 'function' ? await settings(broker) : settings;
  const key = `sk_${randomBytes(32).toString('base64url')}`;
  const environment: Record<string, string> = {
    SEVER_ENV: 'test',
    SEVER_PORT: '0',
    SEVER_DATA_DIR: createRunFolder('test-plane'),
    SEVER_DATABASE_URL: database.url,
    SEVER_NATS_URL: broker.url,
    SEVER_NATS_CREDS: broker.credsFile,
    SEVER_NATS_ACCOUNT_SEED_FILE: broker.accountSeedFile,
    SEVER_MASTER_KEY: randomBytes(32).toString('base64url'),
    SEVER_BOOTSTRAP_KEY: key,
    SEVER_LOG_LEVEL: 'fatal',
    ...env,
  };
  const plane = await startControlPlane(loadConfig(environment));
  return {
    url: plane.url,
    key,
    client: new SeverClient({ url: plane.url, key }),
    database,
    broker,
    plane,
    environment,
    call: (method, path, options) => call(plane.url, key, method, path, options),
    close: async () => {
      await plane.close();
      await broker.stop();
      await database.drop();
    },
  };
}

async function call(
  url: string,
  ownKey: string,
  method: string,
  path: string,
  { key = ownKey, body, headers = {} }: CallOptions = {},
): Promise<Reply> {
  const raw = typeof body === 'string' || body === undefined;
  const response = await fetch(`${url}${path}`, {
    method,
    headers: {
      ...(key === '' ? {} : { authorization: `Bearer ${key}` }),
      ...(raw ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: raw ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = /json/.test(response.headers.get('content-type') ?? '');
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: isJson ? (JSON.parse(text) as Record<string, unknown>) : {},
  };
}
