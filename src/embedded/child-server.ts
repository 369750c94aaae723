import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { identify, type ProcessIdentity } from './process-identity';

const READY_WITHIN_MS = 60_000;
const GIVE_UP_STOPPING_MS = 15_000;
const KEPT_OUTPUT = 16_384;

export interface ChildServerOptions {
  name: string;
  command: string;
  args: string[];
  env: NodeJS.ProcessEnv;
  /** The user to run as; left out, the caller's own. */
  runAs?: { uid: number; gid: number } | undefined;
  /** What the server prints once it serves. */
  ready: RegExp;
  /** Asks the server to stop cleanly; also what it gets when this process dies. */
  stopSignal: 'SIGINT' | 'SIGTERM';
  /** Told as soon as the process exists, so that whoever finds it orphaned can end it. */
  onSpawn?: ((process: ProcessIdentity) => void) | undefined;
  log: (line: string) => void;
}

export interface ChildServer extends ProcessIdentity {
  /** Resolves with the reason if the server ends without having been asked to. */
  died: Promise<string>;
  running(): boolean;
  stop(): Promise<void>;
}

/** The server ended before it served; `output` is what it printed. */
export class ServerDidNotStart extends Error {
  override readonly name = 'ServerDidNotStart';
  constructor(
    server: string,
    reason: string,
    readonly output: string,
  ) {
    super(`${server} did not start (${reason}):\n${output.trim()}`);
  }
}

/** Starts a server that ends with this process, however this process ends, and waits until it serves. */
export async function startChildServer(options: ChildServerOptions): Promise<ChildServer> {
  const child = launch(options);
  const output = collect(child);
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) =>
      resolve(signal ? `signal ${signal}` : `exit code ${code}`),
    );
  });

  const identity = child.pid === undefined ? null : identify(child.pid);
  if (identity) options.onSpawn?.(identity);
  await servesOrFails(options, child, ended, output);
  if (!identity) throw new ServerDidNotStart(options.name, 'it ended at once', output.text());
  output.keepOnly(KEPT_OUTPUT);

  let stopping = false;
  const died = new Promise<string>((resolve) => {
    void ended.then((reason) => {
      if (!stopping)
        resolve(`${options.name} ended unexpectedly (${reason}):\n${output.text().trim()}`);
    });
  });
  const stop = async (): Promise<void> => {
    stopping = true;
    await endChild(child, ended, options.stopSignal);
  };
  return { ...identity, died, running: () => isRunning(child), stop };
}

/** Is the program somewhere on PATH? */
export function onPath(program: string): string | null {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean);
  return folders.map((folder) => join(folder, program)).find(isExecutable) ?? null;
}

export function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function launch(options: ChildServerOptions): ChildProcess {
  // A process group of its own: Ctrl-C in a terminal must reach the servers only through us, in order.
  const common: SpawnOptions = {
    cwd: '/',
    env: options.env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  };
  const { runAs } = options;
  const setpriv = process.platform === 'linux' ? onPath('setpriv') : null;
  if (!setpriv) {
    options.log(
      `${options.name}: no setpriv here, so the server outlives a SIGKILL of this process; the next start ends it`,
    );
    return spawn(options.command, options.args, { ...common, ...runAs });
  }
  // The kernel sends the signal when we die, SIGKILL included. Set after the change of user, which would clear it.
  const user = runAs ? [`--reuid=${runAs.uid}`, `--regid=${runAs.gid}`, '--clear-groups'] : [];
  const death = ['--pdeathsig', options.stopSignal.slice('SIG'.length)];
  return spawn(setpriv, [...user, ...death, options.command, ...options.args], common);
}

function collect(child: ChildProcess) {
  let text = '';
  let limit = 65_536;
  const listeners = new Set<(text: string) => void>();
  const take = (chunk: Buffer): void => {
    text = (text + chunk.toString('utf8')).slice(-limit);
    for (const listener of listeners) listener(text);
  };
  child.stdout?.on('data', take);
  child.stderr?.on('data', take);
  return {
    text: () => text,
    listen: (listener: (text: string) => void) => listeners.add(listener),
    keepOnly: (bytes: number) => {
      limit = bytes;
      listeners.clear();
    },
  };
}

async function servesOrFails(
  options: ChildServerOptions,
  child: ChildProcess,
  ended: Promise<string>,
  output: ReturnType<typeof collect>,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const serves = new Promise<null>((resolve) => {
    output.listen((text) => {
      if (options.ready.test(text)) resolve(null);
    });
  });
  const tooLate = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve(`not ready after ${READY_WITHIN_MS} ms`), READY_WITHIN_MS);
  });
  const failure = await Promise.race([serves, ended, tooLate]);
  clearTimeout(timer);
  if (failure === null) return;
  await endChild(child, ended, options.stopSignal);
  throw new ServerDidNotStart(options.name, failure, output.text());
}

async function endChild(
  child: ChildProcess,
  ended: Promise<string>,
  signal: NodeJS.Signals,
): Promise<void> {
  if (!isRunning(child)) return;
  const force = setTimeout(() => child.kill('SIGKILL'), GIVE_UP_STOPPING_MS);
  child.kill(signal);
  await ended;
  clearTimeout(force);
}

function isRunning(child: ChildProcess): boolean {
  return child.pid !== undefined && child.exitCode === null && child.signalCode === null;
}
