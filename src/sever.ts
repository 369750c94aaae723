import { processIo, run, SeverClient, type CliIo } from '@sever/cli';
import { InvalidArgumentError, type Command } from 'commander';

/**
 * The repository's own `sever`: the published commands, and those that need the servers of this checkout. Each of these
 * loads what it needs when it runs, so that `sever kill` does not wait for a server's code.
 */
function addOwnCommands(program: Command, io: CliIo): void {
  program
    .command('up')
    .description('run the control plane, as `npm start` does once everything is built')
    .action(async () => (await import('./run-control-plane.js')).runControlPlane());

  program
    .command('sidecar')
    .description('run a sidecar in front of tool servers')
    .option('--config <file>', 'sidecar.yaml; without it only /check and /state are served')
    .action(async (options: { config?: string }) => {
      const { runSidecar } = await import('@sever/sidecar');
      await runSidecar(process.env, options, process);
      await new Promise(() => undefined); // a signal ends the process
    })
    .command('check')
    .argument('<file>', 'a sidecar.yaml')
    .description(
      'check it without running it; exit 0 if it is sound, else 1 and each fault by line',
    )
    .action(async (file: string) => {
      const { checkConfig } = await import('@sever/sidecar');
      const { ok, lines } = checkConfig(file);
      (ok ? io.stdout : io.stderr).write(`${lines.join('\n')}\n`);
      if (!ok) io.setExitCode(1);
    });

  program
    .command('demo')
    .description('play the main job once on real processes; exit 0 only if every claim held')
    .action(async () => {
      const { runDemo } = await import('./demo/run-demo.js');
      io.setExitCode(await runDemo(io.stdout));
    });

  program
    .command('sample', { hidden: true })
    .description('what `npm start` shows: a sidecar, a tool server and a small living tree')
    .action(async () => (await import('./demo/run-sample.js')).runSample(io.env, io.stdout));

  program
    .command('seed')
    .description(
      'spawn a tree of many agents through the API, to see that its size does not matter to a kill',
    )
    .option('--agents <n>', 'how many', wholeNumber(2, 1_000_000), 10_000)
    .option('--fanout <n>', 'children of each', wholeNumber(1, 1_000), 10)
    .option('--leaf-token', 'also print the token of one leaf')
    .action(async (options: { agents: number; fanout: number; leafToken?: boolean }) => {
      const { seed } = await import('./demo/seed.js');
      const client = new SeverClient(connection(program, io));
      const seeded = await seed(client, {
        agents: options.agents,
        fanout: options.fanout,
        progress: (line) => io.stderr.write(`${line}\n`),
      });
      const { leafToken, ...shown } = seeded;
      io.stdout.write(
        `${JSON.stringify(options.leafToken ? { ...shown, leaf_token: leafToken } : shown)}\n`,
      );
    });

  program
    .command('broker')
    .description('prepare an outside NATS server')
    .command('init')
    .argument('<dir>', 'where nats.conf, the credentials and the account seed go')
    .option('--host <address>', 'address that the server listens on', '127.0.0.1')
    .option('--port <port>', 'its port', wholeNumber(1, 65_535), 4_222)
    .option('--server-dir <dir>', 'the folder as the server sees it, when it is mounted elsewhere')
    .description(
      "write nats.conf with operator and account, the control plane's credentials and the account seed",
    )
    .action(async (dir: string, options: { host: string; port: number; serverDir?: string }) => {
      const { writeBrokerFiles } = await import('./broker/broker-files.js');
      const files = await writeBrokerFiles(dir, {
        listenHost: options.host,
        port: options.port,
        ...(options.serverDir === undefined ? {} : { serverDir: options.serverDir }),
      });
      io.stdout.write(
        `${files.created ? 'wrote' : 'kept'} ${dir}\nrun the server:  nats-server -c ${files.configFile}\n` +
          `run Sever with:  SEVER_NATS_CREDS=${files.credsFile} SEVER_NATS_ACCOUNT_SEED_FILE=${files.accountSeedFile} ` +
          `SEVER_NATS_OPERATOR_SEED_FILE=${files.operatorSeedFile} SEVER_NATS_SYSTEM_CREDS=${files.systemCredsFile}\n`,
      );
    });
}

function connection(program: Command, io: CliIo): { url: string; key: string } {
  const { url, key } = program.opts<{ url?: string; key?: string }>();
  const found = key ?? io.env.SEVER_KEY;
  if (found === undefined) program.error('no API key: set SEVER_KEY, or give --key');
  return { url: url ?? io.env.SEVER_URL ?? 'http://127.0.0.1:7400', key: found };
}

/** A commander parser for whole numbers in a range. */
function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Write a whole number from ${min} to ${max}.`);
  };
}

const io: CliIo = {
  ...processIo(),
  publish: async (message) => (await import('./broker/publish-once.js')).publishOnce(message),
};

run(process.argv.slice(2), io, addOwnCommands).then(
  (code) => process.exit(code),
  (error: unknown) => {
    const text = error instanceof Error ? error.message : String(error);
    process.stderr.write(
      `sever: ${process.env.SEVER_LOG_LEVEL === 'debug' ? String((error as Error).stack) : text}\n`,
    );
    process.exit(1);
  },
);
