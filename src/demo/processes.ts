import { spawn, type ChildProcess } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';

/** The root of the checkout: this file runs from `dist/demo/`. */
export const ROOT = join(__dirname, '..', '..');
const STOP_WITHIN_MS = 15_000;

export interface Started {
  readonly name: string;
  readonly pid: number;
  /** What the ready pattern's first group matched; a URL, mostly. */
  readonly found: string;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

export interface Launch {
  name: string;
  /** Arguments to Node. */
  args: string[];
  env: Record<string, string>;
  ready: RegExp;
  readyWithinMs?: number;
}

/** Processes of a story, which end with it. */
export class Processes {
  private readonly children: { child: ChildProcess; stop: Started['stop'] }[] = [];

  /** Starts a Node program and waits until it prints what says that it serves. @throws Error with what it printed. */
  async start({ name, args, env, ready, readyWithinMs = 90_000 }: Launch): Promise<Started> {
    const child = spawn(process.execPath, args, {
      cwd: ROOT,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const ended = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(error.message));
      child.once('exit', (code, signal) => resolve(`it ended with ${signal ?? `code ${code}`}`));
    });
    const stop = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<void> => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill(signal);
      const force = setTimeout(() => child.kill('SIGKILL'), STOP_WITHIN_MS);
      await ended;
      clearTimeout(force);
    };
    this.children.push({ child, stop });
    let printed = '';
    const match = new Promise<RegExpExecArray>((resolve) => {
      const read = (chunk: Buffer): void => {
        printed = (printed + chunk.toString()).slice(-16_384);
        const found = ready.exec(printed);
        if (found) resolve(found);
      };
      child.stdout.on('data', read);
      child.stderr.on('data', read);
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(() => resolve('it took too long'), readyWithinMs);
    });
    const outcome = await Promise.race([match, ended, late]);
    clearTimeout(timer);
    if (typeof outcome === 'string')
      throw new Error(`${name} did not start: ${outcome}\n${printed.trim()}`);
    return { name, pid: child.pid as number, found: outcome[1] ?? outcome[0], stop };
  }

  /** Stops all, the latest first. */
  async stopAll(): Promise<void> {
    for (const { stop } of this.children.splice(0).reverse()) await stop();
  }
}

/** A port of loopback that is free now. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
