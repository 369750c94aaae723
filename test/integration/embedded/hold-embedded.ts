import { startEmbedded } from '../../../src/embedded/start-embedded';

/**
 * A control plane's shell, in a process of its own: starts the servers, says where they are on one line of JSON, and
 * then either stops them at SIGTERM, or dies with them.
 */
async function main(dataDir: string): Promise<void> {
  const embedded = await startEmbedded({ dataDir, log: (line) => console.error(line) });
  process.once('SIGTERM', () => void embedded.stop().then(() => process.exit(0)));
  console.log(JSON.stringify({ databaseUrl: embedded.databaseUrl, nats: embedded.nats }));
  const reason = await embedded.died;
  console.error(reason);
  process.exit(1);
}

main(process.argv[2] ?? '').catch((error: Error) => {
  console.error(error.message);
  process.exit(1);
});
