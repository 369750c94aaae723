import { startNats, type EmbeddedNats } from '../../src/embedded/nats-server';
import { createRunFolder } from './run-folder';

export interface TestBroker {
  url: string;
  credsFile: string;
  accountSeedFile: string;
  operatorSeedFile: string;
  systemCredsFile: string;
  /** Ends it as a crash would: no goodbye to its clients. */
  kill(): Promise<void>;
  /** Starts it again after `kill` or `stop`, at the same address and with what it had kept on disk. */
  restart(): Promise<void>;
  /** Its connections stay open, but nothing answers any more: a partition, as clients see it. */
  freeze(): void;
  thaw(): void;
  stop(): Promise<void>;
}

/** A real nats-server in operator mode, for one test or one file. */
export async function startTestBroker(): Promise<TestBroker> {
  const dataDir = createRunFolder('test-broker');
  const start = (port?: number): Promise<EmbeddedNats> =>
    startNats({ dataDir, port, log: () => undefined });
  let nats = await start();
  const { port, url, files } = nats;
  const signal = (name: NodeJS.Signals): void => void process.kill(nats.server.pid, name);
  const { credsFile, accountSeedFile, operatorSeedFile, systemCredsFile } = files;
  return {
    ...{ url, credsFile, accountSeedFile, operatorSeedFile, systemCredsFile },
    kill: async () => {
      signal('SIGKILL');
      await nats.server.died;
    },
    restart: async () => {
      await nats.server.stop();
      nats = await start(port);
      if (nats.port !== port) throw new Error(`the broker's port ${port} was taken meanwhile`);
    },
    freeze: () => signal('SIGSTOP'),
    thaw: () => signal('SIGCONT'),
    stop: async () => {
      // A stopped process would not see the request to end.
      if (nats.server.running()) signal('SIGCONT');
      await nats.server.stop();
    },
  };
}
