import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { createDataDir } from '../../src/embedded/data-dir';
import { startPostgres, type EmbeddedPostgres } from '../../src/embedded/postgres';
import { createRunFolder } from './run-folder';

export interface TestPostgres {
  url: string;
  /** Ends it as a crash would, with every process that serves a connection. */
  kill(): Promise<void>;
  /** Starts it again after `kill` or `stop`, at the same address and with what it had committed. */
  restart(): Promise<void>;
  /** Its connections stay open and new ones are still taken by the kernel, but nothing answers any more. */
  freeze(): void;
  thaw(): void;
  /** Whatever was done to it: it answers again. */
  heal(): Promise<void>;
  stop(): Promise<void>;
}

/** A Postgres of its own, for a test that does to it what must not be done to the one that all tests share. */
export async function startTestPostgres(): Promise<TestPostgres> {
  const dataDir = join(createRunFolder('test-postgres'), 'data');
  createDataDir(dataDir);
  const start = (port?: number): Promise<EmbeddedPostgres> =>
    startPostgres({ dataDir, durable: true, port, log: () => undefined });
  let postgres = await start();
  const { port, url } = postgres;
  const signal = (name: NodeJS.Signals): void => {
    const { pid } = postgres.server;
    // The postmaster first when it is stopped, so that it starts nothing meanwhile; last when it goes on.
    const family = [pid, ...childrenOf(pid)];
    for (const one of name === 'SIGCONT' ? family.reverse() : family)
      try {
        process.kill(one, name);
      } catch {
        // A process of one connection may end at any time.
      }
  };
  const restart = async (): Promise<void> => {
    await postgres.server.stop();
    postgres = await start(port);
    if (postgres.port !== port) throw new Error(`the port ${port} was taken meanwhile`);
  };
  return {
    url,
    restart,
    heal: async () => {
      if (postgres.server.running()) signal('SIGCONT');
      else await restart();
    },
    kill: async () => {
      signal('SIGKILL');
      await postgres.server.died;
    },
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
    stop: async () => {
      if (postgres.server.running()) signal('SIGCONT');
      await postgres.server.stop();
    },
  };
}

function childrenOf(pid: number): number[] {
  const lines = execFileSync('ps', ['-eo', 'pid=,ppid='], { encoding: 'utf8' }).split('\n');
  return lines
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter(([, parent]) => parent === pid)
    .map(([child]) => child as number);
}
