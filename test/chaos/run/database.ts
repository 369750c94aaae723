import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, type QueryResultRow } from 'pg';
import { prepareDataDir } from '../../../src/embedded/data-dir';
import { startPostgres, type EmbeddedPostgres } from '../../../src/embedded/postgres';

/** A Postgres of its own, durable as in production, with all its processes in our hands. */
export class ChaosDatabase {
  private constructor(
    private readonly dataDir: string,
    private server: EmbeddedPostgres,
  ) {}

  static async start(folder: string): Promise<ChaosDatabase> {
    const dataDir = join(folder, 'database');
    prepareDataDir(dataDir);
    return new ChaosDatabase(dataDir, await launch(dataDir));
  }

  get port(): number {
    return this.server.port;
  }

  /** @param port of a proxy in between */
  urlAt(port: number): string {
    const url = new URL(this.server.url);
    url.port = String(port);
    return url.href;
  }

  /** Postmaster and backends at once, as a power cut would, except for what the kernel holds. */
  async kill(): Promise<void> {
    const { pid } = this.server.server;
    // The parent first: it would start recovering when it saw a backend die.
    for (const one of [pid, ...childrenOf(pid)]) signal(one, 'SIGKILL');
    await this.server.server.died;
  }

  async restart(): Promise<void> {
    const { port } = this.server;
    for (let attempt = 1; ; attempt += 1) {
      try {
        this.server = await launch(this.dataDir, port);
        if (this.server.port !== port) throw new Error(`port ${port} was taken meanwhile`);
        return;
      } catch (error) {
        if (attempt === 5) throw error;
        await delay(500);
      }
    }
  }

  freeze(): void {
    const { pid } = this.server.server;
    for (const one of [pid, ...childrenOf(pid)]) signal(one, 'SIGSTOP');
  }

  thaw(): void {
    const { pid } = this.server.server;
    for (const one of [...childrenOf(pid), pid]) signal(one, 'SIGCONT');
  }

  /** A connection of the test's own, past every proxy. */
  async connect(): Promise<Client> {
    const client = new Client({ connectionString: this.server.url });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  async query<T extends QueryResultRow>(text: string, values: unknown[] = []): Promise<T[]> {
    const client = await this.connect();
    try {
      return (await client.query<T>(text, values)).rows;
    } finally {
      await client.end();
    }
  }

  async stop(): Promise<void> {
    this.thaw();
    await this.server.server.stop();
  }
}

function launch(dataDir: string, port?: number): Promise<EmbeddedPostgres> {
  return startPostgres({ dataDir, durable: true, port, log: () => undefined });
}

function childrenOf(pid: number): number[] {
  try {
    const listed = execFileSync('ps', ['-o', 'pid=', '--ppid', String(pid)]).toString();
    return listed.split('\n').map(Number).filter(Boolean);
  } catch {
    return [];
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It is gone already.
  }
}
