import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { onPath } from '../../../src/embedded/child-server';

const ROOT = join(__dirname, '..', '..', '..');
const READY_WITHIN_MS = 90_000;

/** Under Linux the kernel ends it when this process dies, however it dies. */
function commandLine(args: readonly string[]): [command: string, args: string[]] {
  const setpriv = process.platform === 'linux' ? onPath('setpriv') : null;
  if (setpriv === null) return [process.execPath, [...args]];
  return [setpriv, ['--pdeathsig', 'KILL', process.execPath, ...args]];
}

export interface ChildOptions {
  readonly name: string;
  /** Arguments to Node, from the root of the repository. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly ready: RegExp;
}

/** A Node program that may be stopped, continued and killed, and is expected to end in no other way. */
export class Child {
  /** What the ready pattern's first group matched. */
  found = '';
  private readonly process: ChildProcess;
  private readonly ended: Promise<string>;
  private said = '';
  private expected = false;

  private constructor(private readonly options: ChildOptions) {
    this.process = spawn(...commandLine(options.args), {
      cwd: ROOT,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.ended = new Promise((resolve) => {
      this.process.once('error', (error) => resolve(error.message));
      this.process.once('exit', (code, signal) => resolve(signal ?? `code ${code}`));
    });
  }

  /** @param onDeath told when it ends without having been meant to */
  static async start(options: ChildOptions, onDeath: (why: string) => void): Promise<Child> {
    const child = new Child(options);
    await child.ready();
    void child.ended.then((how) => {
      if (!child.expected)
        onDeath(`${options.name} ended with ${how}: ${child.said.slice(-2_000)}`);
    });
    return child;
  }

  get isRunning(): boolean {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  /** The last of what it printed. */
  get output(): string {
    return this.said;
  }

  signal(name: NodeJS.Signals): void {
    if (this.isRunning) this.process.kill(name);
  }

  /** From now on its end surprises nobody. */
  expectDeath(): void {
    this.expected = true;
  }

  async kill(): Promise<void> {
    this.expected = true;
    this.signal('SIGKILL');
    await this.ended;
  }

  /** Asks it to stop, and no longer asks after ten seconds. */
  async stop(): Promise<void> {
    this.expected = true;
    this.signal('SIGCONT');
    this.signal('SIGTERM');
    const force = setTimeout(() => this.signal('SIGKILL'), 10_000);
    await this.ended;
    clearTimeout(force);
  }

  /** Resolves with how it ended. */
  async death(): Promise<string> {
    return await this.ended;
  }

  private async ready(): Promise<void> {
    const { name, ready } = this.options;
    const serves = new Promise<null>((resolve) => {
      const read = (chunk: Buffer): void => {
        this.said = (this.said + chunk.toString()).slice(-16_384);
        const match = ready.exec(this.said);
        if (match === null || this.found !== '') return;
        this.found = match[1] ?? match[0];
        resolve(null);
      };
      this.process.stdout?.on('data', read);
      this.process.stderr?.on('data', read);
    });
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(() => resolve('nothing: it took too long'), READY_WITHIN_MS);
    });
    const failure = await Promise.race([serves, this.ended, late]);
    clearTimeout(timer);
    if (failure === null) return;
    await this.kill();
    throw new Error(`${name} did not start, it ended with ${failure}: ${this.said}`);
  }
}
