import { execFile } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { readIfThere } from '../broker/whole-file';
import { ServerDidNotStart, startChildServer, type ChildServer } from './child-server';
import { postgresUser } from './data-dir';
import { outliveOrphans, processWithArgument } from './orphans';
import { freePort, LOOPBACK } from './ports';
import { postgresBinaries, type PostgresBinaries } from './postgres-binaries';
import { identify, type ProcessIdentity } from './process-identity';
import { readOrCreateSecret } from './secrets';

const USER = 'sever';
const ENVIRONMENT = { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' };
const RETRY_FOR_MS = 5_000;

export interface EmbeddedPostgres {
  server: ChildServer;
  url: string;
  port: number;
}

export interface PostgresOptions {
  dataDir: string;
  /** Only test clusters may say false: their data does not outlive a power cut. */
  durable: boolean;
  /** The port of the last time, taken again if it is free. */
  port?: number | undefined;
  onSpawn?: ((process: ProcessIdentity) => void) | undefined;
  log: (line: string) => void;
}

export async function startPostgres(options: PostgresOptions): Promise<EmbeddedPostgres> {
  const binaries = postgresBinaries(options.dataDir);
  const { value: password } = await readOrCreateSecret(options.dataDir, 'postgres.password');
  const cluster = join(options.dataDir, 'postgres');
  if (!existsSync(cluster)) await createCluster(binaries, cluster, password, options.durable);
  await recoverCluster(cluster, options.log);
  const { server, port } = await startServer(binaries, cluster, options);
  return { server, port, url: `postgres://${USER}:${password}@${LOOPBACK}:${port}/postgres` };
}

/** In a folder of another name, so that a crash halfway leaves no half cluster. */
async function createCluster(
  binaries: PostgresBinaries,
  cluster: string,
  password: string,
  durable: boolean,
): Promise<void> {
  const draft = `${cluster}.draft`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { mode: 0o700 });
  const folder = mkdtempSync(`${cluster}.password-`);
  const passwordFile = join(folder, 'password');
  writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
  const user = postgresUser();
  if (user) for (const path of [draft, folder, passwordFile]) chownSync(path, user.uid, user.gid);
  try {
    await promisify(execFile)(
      binaries.initdb,
      [
        ...['-D', draft, '--username', USER, '--pwfile', passwordFile, '--auth', 'scram-sha-256'],
        ...['--encoding', 'UTF8', '--locale', 'C', ...(durable ? [] : ['--no-sync'])],
      ],
      { ...user, cwd: '/', env: ENVIRONMENT },
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  renameSync(draft, cluster);
}

/** Ends a server that still runs on this cluster, and clears away a claim that belongs to nobody. */
async function recoverCluster(cluster: string, log: (line: string) => void): Promise<void> {
  const claim = join(cluster, 'postmaster.pid');
  const pid = Number(readIfThere(claim)?.split('\n')[0]);
  if (!Number.isInteger(pid) || pid <= 0) return;
  const running = processWithArgument(pid, cluster);
  if (running) await outliveOrphans([running], log);
  // A process that came later has the number. Postgres would take it for a server of its own and refuse to start.
  else if (identify(pid)) rmSync(claim, { force: true });
}

async function startServer(
  binaries: PostgresBinaries,
  cluster: string,
  options: PostgresOptions,
): Promise<{ server: ChildServer; port: number }> {
  const deadline = performance.now() + RETRY_FOR_MS;
  let preferred = options.port;
  for (;;) {
    const port = await freePort(preferred);
    try {
      const server = await startChildServer({
        name: 'embedded Postgres',
        command: binaries.postgres,
        args: ['-D', cluster, ...settings(port, options.durable)],
        env: ENVIRONMENT,
        runAs: postgresUser(),
        ready: /database system is ready to accept connections/,
        stopSignal: 'SIGINT',
        onSpawn: options.onSpawn,
        log: options.log,
      });
      return { server, port };
    } catch (error) {
      if (!(error instanceof ServerDidNotStart) || performance.now() > deadline) throw error;
      if (/Address already in use/i.test(error.output)) preferred = undefined;
      // The processes of a server that was killed need a moment to notice.
      else if (/pre-existing shared memory block|lock file .* already exists/.test(error.output))
        await delay(200);
      else throw error;
    }
  }
}

function settings(port: number, durable: boolean): string[] {
  const values = {
    port: String(port),
    listen_addresses: LOOPBACK,
    unix_socket_directories: '',
    max_connections: '200',
    // Tells a client whose commit went unanswered whether it happened.
    track_commit_timestamp: 'on',
    ...(durable
      ? { fsync: 'on', synchronous_commit: 'on' }
      : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
  };
  return Object.entries(values).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}
