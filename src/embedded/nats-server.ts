import { join, resolve } from 'node:path';
import { writeBrokerFiles, type BrokerFiles } from '../broker/broker-files';
import {
  isExecutable,
  onPath,
  ServerDidNotStart,
  startChildServer,
  type ChildServer,
} from './child-server';
import { freePort, LOOPBACK } from './ports';
import type { ProcessIdentity } from './process-identity';

export interface EmbeddedNats {
  server: ChildServer;
  url: string;
  port: number;
  files: BrokerFiles;
}

export interface NatsOptions {
  dataDir: string;
  /** The port of the last time, taken again if it is free. */
  port?: number | undefined;
  onSpawn?: ((process: ProcessIdentity) => void) | undefined;
  log: (line: string) => void;
}

export async function startNats(options: NatsOptions): Promise<EmbeddedNats> {
  const command = natsServerBinary();
  let preferred = options.port;
  for (let attempt = 1; ; attempt++) {
    const port = await freePort(preferred);
    const files = await writeBrokerFiles(join(options.dataDir, 'nats'), {
      listenHost: LOOPBACK,
      port,
    });
    try {
      const server = await startChildServer({
        name: 'embedded nats-server',
        command,
        // The flags outrank the file, which keeps the port of the first start.
        args: ['-c', files.configFile, '-a', LOOPBACK, '-p', String(port)],
        env: { PATH: process.env.PATH },
        ready: /Server is ready/,
        stopSignal: 'SIGTERM',
        onSpawn: options.onSpawn,
        log: options.log,
      });
      return { server, port, files, url: `nats://${LOOPBACK}:${port}` };
    } catch (error) {
      const taken =
        error instanceof ServerDidNotStart && /address already in use/i.test(error.output);
      if (!taken || attempt === 3) throw error;
      preferred = undefined;
    }
  }
}

/** SEVER_NATS_SERVER_BIN, what `npm run bootstrap` unpacked, PATH, where Debian puts it. */
export function natsServerBinary(): string {
  const named = process.env.SEVER_NATS_SERVER_BIN;
  if (named) {
    if (isExecutable(named)) return resolve(named);
    throw new Error(`SEVER_NATS_SERVER_BIN names ${named}, which is not a program that can be run`);
  }
  const unpacked = resolve(__dirname, '../../.runtime/nats/usr/sbin/nats-server');
  const found = isExecutable(unpacked)
    ? unpacked
    : (onPath('nats-server') ?? '/usr/sbin/nats-server');
  if (isExecutable(found)) return found;
  throw new Error(
    'no nats-server found. Run `npm run bootstrap` (Debian: unpacks it without installing a service), or name one ' +
      'with SEVER_NATS_SERVER_BIN, or set SEVER_NATS_URL to a broker set up with `sever broker init`.',
  );
}
