import { startPostgres, type EmbeddedPostgres } from '../../../src/embedded/postgres';
import { prepareDataDir } from '../../../src/embedded/data-dir';
import { createRunFolder } from '../../support/run-folder';

const STARTS = 6;

/** A Postgres that keeps what it has confirmed, and that can be killed and started again at its port. */
export class MortalPostgres {
  private constructor(
    private readonly dataDir: string,
    private running: EmbeddedPostgres,
  ) {}

  static async start(): Promise<MortalPostgres> {
    const dataDir = createRunFolder('roulette-postgres');
    prepareDataDir(dataDir);
    return new MortalPostgres(dataDir, await open(dataDir));
  }

  get url(): string {
    return this.running.url;
  }

  async kill(): Promise<void> {
    process.kill(this.running.server.pid, 'SIGKILL');
    await this.running.server.died;
  }

  /** After a kill: recovery, and whatever its orphans still hold, take a moment. */
  async restart(): Promise<void> {
    for (let attempt = 1; ; attempt += 1)
      try {
        this.running = await open(this.dataDir, this.running.port);
        return;
      } catch (error) {
        if (attempt === STARTS) throw error;
      }
  }

  stop(): Promise<void> {
    return this.running.server.stop();
  }
}

async function open(dataDir: string, port?: number): Promise<EmbeddedPostgres> {
  const opened = await startPostgres({ dataDir, port, durable: true, log: () => undefined });
  if (port === undefined || opened.port === port) return opened;
  await opened.server.stop();
  throw new Error(`port ${port} was taken meanwhile`);
}
