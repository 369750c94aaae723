import { ConfigError, loadConfig } from './config/config';
import { startControlPlane, type ControlPlane } from './control-plane';
import { startSample } from './sample';

/**
 * Runs a control plane until a signal ends it. Prints one line once it listens; ends the process with 1 and one message
 * when it cannot start, or when an embedded server ends by itself.
 */
export async function runControlPlane(): Promise<never> {
  await start().catch(fail);
  return new Promise<never>(() => undefined); // a signal ends the process
}

async function start(): Promise<void> {
  const config = loadConfig(process.env);
  const plane = await startControlPlane(config);
  process.stdout.write(`sever: listening on ${plane.url}\n`);
  const { url, bootstrapKey: key } = plane;
  if (key?.isNew) process.stdout.write(`sever: first key, shown once: ${key.value}\n`);
  const sample = config.sample && key ? startSample(url, key.value) : undefined;
  stopOnSignal(plane, async () => sample?.stop());
  void plane.died.then((reason) => fail(new Error(reason)));
}

function stopOnSignal(plane: ControlPlane, before: () => Promise<void> | undefined): void {
  let stopping = false;
  const stop = (): void => {
    if (stopping) return;
    stopping = true;
    void Promise.resolve(before())
      .then(() => plane.close())
      .then(() => process.exit(0), fail);
  };
  process.on('SIGTERM', stop).on('SIGINT', stop);
}

/** What stops a start is said in one message, without a stack when it is about a setting. */
function fail(error: unknown): never {
  const text =
    error instanceof ConfigError ? `sever: bad setting\n${error.message}` : describe(error);
  process.stderr.write(`${text}\n`);
  process.exit(1);
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return `sever: ${String(error)}`;
  return process.env.SEVER_LOG_LEVEL === 'debug'
    ? (error.stack ?? error.message)
    : `sever: ${error.message}`;
}
