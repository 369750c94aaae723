import { join } from 'node:path';
import { readIfThere, replaceFile } from '../broker/whole-file';
import type { ChildServer } from './child-server';
import { prepareDataDir } from './data-dir';
import { lockDataDir } from './data-dir-lock';
import { startNats } from './nats-server';
import { ChildRecord, outliveOrphans } from './orphans';
import { startPostgres } from './postgres';
import type { ProcessIdentity } from './process-identity';

export interface EmbeddedOptions {
  dataDir: string;
  /** Default true. Only test clusters may say false: their data does not outlive a power cut. */
  durable?: boolean;
  /** Start Postgres; default true. */
  postgres?: boolean;
  /** Start nats-server; default true. */
  nats?: boolean;
  log: (line: string) => void;
}

export interface Embedded {
  databaseUrl?: string;
  nats?: {
    url: string;
    credsFile: string;
    accountSeedFile: string;
    authority: { operatorSeedFile: string; systemCredsFile: string };
  };
  /** Resolves with the reason if a server ends without having been asked to. */
  died: Promise<string>;
  /** Stops the servers and lets go of the data dir. */
  stop(): Promise<void>;
}

/**
 * Runs Postgres and nats-server as children of this process, with their data in the data dir, on loopback, both with
 * authentication. They end with this process, however it ends.
 *
 * @throws DataDirHeld if another living control plane has the data dir.
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  const { dataDir, log } = options;
  prepareDataDir(dataDir);
  const lock = lockDataDir(dataDir);
  const record = new ChildRecord(dataDir);
  const servers: ChildServer[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.stop()));
    record.clear();
    lock.release();
  };
  const kept = async <T extends { server: ChildServer }>(starting: Promise<T>): Promise<T> => {
    const started = await starting;
    servers.push(started.server);
    return started;
  };

  try {
    await outliveOrphans(record.orphans(), log);
    const ports = new KeptPorts(dataDir);
    const common = (name: Server) => ({
      dataDir,
      log,
      port: ports.of(name),
      onSpawn: (child: ProcessIdentity) => record.add(name, child),
    });
    const durable = options.durable ?? true;
    const [postgres, nats] = await allOrFirstError([
      options.postgres === false ? null : kept(startPostgres({ ...common('postgres'), durable })),
      options.nats === false ? null : kept(startNats(common('nats'))),
    ]);
    ports.keep({ postgres: postgres?.port, nats: nats?.port });
    return {
      ...(postgres && { databaseUrl: postgres.url }),
      ...(nats && {
        nats: {
          url: nats.url,
          credsFile: nats.files.credsFile,
          accountSeedFile: nats.files.accountSeedFile,
          authority: {
            operatorSeedFile: nats.files.operatorSeedFile,
            systemCredsFile: nats.files.systemCredsFile,
          },
        },
      }),
      died: Promise.race(servers.map((server) => server.died)),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Like Promise.all, but settles only when all have: a server that is still starting must be known before we stop it. */
async function allOrFirstError<A, B>(work: [A, B]): Promise<[Awaited<A>, Awaited<B>]> {
  await Promise.allSettled(work);
  return Promise.all(work);
}

type Server = 'postgres' | 'nats';

/** Ports are chosen once: enforcement points remember the broker's address. */
class KeptPorts {
  private readonly file: string;
  private readonly ports: Partial<Record<Server, number>>;

  constructor(dataDir: string) {
    this.file = join(dataDir, 'ports.json');
    this.ports = JSON.parse(readIfThere(this.file) ?? '{}') as Partial<Record<Server, number>>;
  }

  of(server: Server): number | undefined {
    return this.ports[server];
  }

  keep(used: Record<Server, number | undefined>): void {
    const ports = {
      postgres: used.postgres ?? this.ports.postgres,
      nats: used.nats ?? this.ports.nats,
    };
    replaceFile(this.file, JSON.stringify(ports), 0o644);
  }
}
