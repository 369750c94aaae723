import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { connect, credsAuthenticator } from '@nats-io/transport-node';
import { Client } from 'pg';
import { identify, isAlive } from '../../../src/embedded/process-identity';
import { readOrCreateSecret } from '../../../src/embedded/secrets';
import { startEmbedded, type Embedded } from '../../../src/embedded/start-embedded';
import { eventually } from '../../support/eventually';
import { createRunFolder } from '../../support/run-folder';
import { serversOf, startInProcess } from './embedded-process';

const asRoot = process.getuid?.() === 0;

describe('the embedded servers', () => {
  const newDataDir = (): string => join(createRunFolder('test-embedded'), 'data');
  const running: Embedded[] = [];

  async function start(dataDir: string): Promise<Embedded> {
    const embedded = await startEmbedded({ dataDir, log: () => undefined });
    running.push(embedded);
    return embedded;
  }

  afterEach(async () => {
    await Promise.all(running.splice(0).map((embedded) => embedded.stop()));
  });

  it('are durable, on loopback, and let nobody in without credentials', async () => {
    const dataDir = newDataDir();
    const { databaseUrl = '', nats } = await start(dataDir);
    expect(await settings(databaseUrl)).toEqual({
      fsync: 'on',
      synchronous_commit: 'on',
      full_page_writes: 'on',
      track_commit_timestamp: 'on',
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      password_encryption: 'scram-sha-256',
      max_connections: '200',
    });
    const wrong = new URL(databaseUrl);
    wrong.password = 'guess';
    await expect(query(wrong.href, 'SELECT 1')).rejects.toThrow(/password authentication failed/);

    const servers = nats?.url ?? '';
    expect(new URL(servers).hostname).toBe('127.0.0.1');
    await expect(connect({ servers, reconnect: false })).rejects.toThrow(/authorization/i);
    const creds = readFileSync(nats?.credsFile ?? '');
    const connection = await connect({ servers, authenticator: credsAuthenticator(creds) });
    await connection.flush();
    await connection.close();

    for (const secret of ['postgres.password', 'nats/account.seed', 'nats/sever.creds'])
      expect(statSync(join(dataDir, secret)).mode & 0o777).toBe(0o600);
    expect(statSync(join(dataDir, 'postgres')).mode & 0o777).toBe(0o700);
  });

  it('keep their data, ports and secrets from one start to the next', async () => {
    const dataDir = newDataDir();
    const first = await start(dataDir);
    await query(first.databaseUrl, 'CREATE TABLE kept AS SELECT 42 AS answer');
    await first.stop();
    const second = await start(dataDir);
    expect(second.databaseUrl).toBe(first.databaseUrl);
    expect(second.nats).toEqual(first.nats);
    expect(await query(second.databaseUrl, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
  });

  it('move to other ports when somebody else has theirs', async () => {
    const dataDir = newDataDir();
    const first = await start(dataDir);
    await first.stop();
    const squatters = await Promise.all(
      [first.databaseUrl, first.nats?.url].map((url) => listen(Number(new URL(url ?? '').port))),
    );
    const second = await start(dataDir);
    expect(second.databaseUrl).not.toBe(first.databaseUrl);
    expect(second.nats?.url).not.toBe(first.nats?.url);
    expect(await query(second.databaseUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    for (const squatter of squatters) squatter.close();
  });

  it('are not started twice on one data dir: the second start names the process that has it', async () => {
    const dataDir = newDataDir();
    const holder = await startInProcess(dataDir);
    await expect(start(dataDir)).rejects.toThrow(
      `is held by a running control plane (pid ${holder.pid})`,
    );
    expect(await query(holder.databaseUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    holder.kill('SIGTERM');
    expect(await holder.ended).toMatchObject({ code: 0 });
    await start(dataDir);
  });

  it('end with their control plane when it is stopped, and leave nothing running', async () => {
    const dataDir = newDataDir();
    const holder = await startInProcess(dataDir);
    const servers = serversOf(dataDir);
    expect(servers.map(isAlive)).toEqual([true, true]);
    holder.kill('SIGTERM');
    expect(await holder.ended).toMatchObject({ code: 0 });
    expect(servers.map(isAlive)).toEqual([false, false]);
  });

  it('end with their control plane when it is killed, and start again on what it had committed', async () => {
    const dataDir = newDataDir();
    const holder = await startInProcess(dataDir);
    await query(holder.databaseUrl, 'CREATE TABLE kept AS SELECT 42 AS answer');
    const servers = serversOf(dataDir);
    holder.kill('SIGKILL');
    await holder.ended;
    // At once, while the old servers may still be on their way out.
    const next = await start(dataDir);
    expect(servers.map(isAlive)).toEqual([false, false]);
    expect(await query(next.databaseUrl, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
  });

  it('left behind where no signal reached them are ended by the next start, and nothing else is', async () => {
    const dataDir = newDataDir();
    // Without setpriv on PATH nothing tells the servers that their control plane died.
    const holder = await startInProcess(dataDir, { PATH: '' });
    const servers = serversOf(dataDir);
    holder.kill('SIGKILL');
    expect(await holder.ended).toMatchObject({ errors: expect.stringContaining('no setpriv') });
    expect(servers.map(isAlive)).toEqual([true, true]);
    // A note whose number now belongs to another process (this one) must not harm it.
    const notes = {
      postgres: servers[0],
      nats: servers[1],
      other: { pid: process.pid, started: '1' },
    };
    writeFileSync(join(dataDir, 'children.json'), JSON.stringify(notes));

    const next = await start(dataDir);
    expect(servers.map(isAlive)).toEqual([false, false]);
    expect(await query(next.databaseUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('start over a claim of a crashed Postgres whose number another process has since', async () => {
    const dataDir = newDataDir();
    const first = await start(dataDir);
    const claim = join(dataDir, 'postgres/postmaster.pid');
    const [, ...rest] = readFileSync(claim, 'utf8').split('\n');
    await first.stop();
    writeFileSync(claim, [process.pid, ...rest].join('\n'));
    const second = await start(dataDir);
    expect(await query(second.databaseUrl, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expect(identify(process.pid)).not.toBeNull();
  });

  it.each([
    [0, 'embedded Postgres'],
    [1, 'embedded nats-server'],
  ])('tell when one of them ends by itself (%i: %s)', async (index, name) => {
    const dataDir = newDataDir();
    const embedded = await start(dataDir);
    const victim = identify(Object.values(noted(dataDir))[index]?.pid ?? 0);
    if (!victim) throw new Error('no such server');
    const survivor = serversOf(dataDir).find(({ pid }) => pid !== victim.pid);
    process.kill(victim.pid, 'SIGKILL');
    await expect(embedded.died).resolves.toContain(`${name} ended unexpectedly (signal SIGKILL)`);
    expect(survivor && isAlive(survivor)).toBe(true);
  });

  it('are each left out on request', async () => {
    const log = (): void => undefined;
    const onlyNats = await startEmbedded({ dataDir: newDataDir(), postgres: false, log });
    running.push(onlyNats);
    expect(onlyNats.databaseUrl).toBeUndefined();
    expect(onlyNats.nats?.url).toMatch(/^nats:/);
  });

  (asRoot ? it : it.skip)(
    'say so when Postgres, as another user, could not enter the data dir',
    async () => {
      const closed = join(createRunFolder('test-embedded'), 'closed');
      mkdirSync(closed);
      chmodSync(closed, 0o700);
      await expect(start(join(closed, 'data'))).rejects.toThrow(`cannot enter ${closed}`);
    },
  );

  function noted(dataDir: string): Record<string, { pid: number }> {
    const content = readFileSync(join(dataDir, 'children.json'), 'utf8');
    const { postgres, nats } = JSON.parse(content) as Record<string, { pid: number }>;
    return { ...(postgres && { postgres }), ...(nats && { nats }) };
  }
});

describe('a secret of the data dir', () => {
  it('is made up once, also when two ask at once, and is for its owner alone', async () => {
    const dataDir = join(createRunFolder('test-secret'), 'data');
    const both = await Promise.all([
      readOrCreateSecret(dataDir, 'master.key'),
      readOrCreateSecret(dataDir, 'master.key'),
    ]);
    expect(both.map(({ created }) => created).sort()).toEqual([false, true]);
    expect(both[0].value).toBe(both[1].value);
    expect(Buffer.from(both[0].value, 'base64url')).toHaveLength(32);
    expect(await readOrCreateSecret(dataDir, 'master.key')).toEqual({
      value: both[0].value,
      created: false,
    });
    expect(statSync(join(dataDir, 'master.key')).mode & 0o777).toBe(0o600);
    const bootstrap = await readOrCreateSecret(dataDir, 'bootstrap.key');
    expect(bootstrap.value).toMatch(/^sk_[\w-]{43}$/);
  });

  it('that is empty stops the start instead of being replaced', async () => {
    const dataDir = createRunFolder('test-secret');
    writeFileSync(join(dataDir, 'master.key'), '\n');
    await expect(readOrCreateSecret(dataDir, 'master.key')).rejects.toThrow(/master\.key is empty/);
  });
});

async function query(url: string | undefined, statement: string): Promise<unknown[]> {
  const client = new Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return (await client.query(statement)).rows as unknown[];
  } finally {
    await client.end();
  }
}

async function settings(url: string): Promise<Record<string, unknown>> {
  const names = [
    'fsync, synchronous_commit, full_page_writes, track_commit_timestamp, listen_addresses',
    'unix_socket_directories, password_encryption, max_connections',
  ].join(', ');
  const list = names.split(', ');
  const rows = (await query(
    url,
    `SELECT name, setting FROM pg_settings WHERE name IN (${list.map((name) => `'${name}'`).join()})`,
  )) as { name: string; setting: string }[];
  return Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));
}

async function listen(port: number): Promise<Server> {
  const server = createServer();
  await eventually(
    () =>
      new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen({ host: '127.0.0.1', port }, resolve);
      }),
  );
  return server;
}
