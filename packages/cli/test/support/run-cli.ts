import { setTimeout as delay } from 'node:timers/promises';
import { run, type CliIo } from '@sever/cli';
import { KEY } from './scripted-control-plane';

/** One command line in this process, with real HTTP and captured output. */
export class CliRun {
  out = '';
  err = '';
  readonly exit: Promise<number>;
  private readonly interruptListeners = new Set<() => void>();

  constructor(
    argv: readonly string[],
    env: Readonly<Record<string, string>> = {},
    /** What comes on standard input. */
    input = '',
  ) {
    let keys = 0;
    const io: CliIo = {
      stdout: { write: (text) => (this.out += text) },
      stderr: { write: (text) => (this.err += text) },
      env: { SEVER_KEY: KEY, ...env },
      fetch: globalThis.fetch,
      now: Date.now,
      // Pauses between attempts keep their order and lose their length.
      delay: (ms, signal) => delay(Math.min(ms, 5), undefined, signal ? { signal } : {}),
      newIdempotencyKey: () => `generated-key-${(keys += 1)}`,
      readInput: () => Promise.resolve(input),
      onInterrupt: (listener) => {
        this.interruptListeners.add(listener);
        return () => this.interruptListeners.delete(listener);
      },
      setExitCode: () => undefined,
    };
    this.exit = run(argv, io);
  }

  interrupt(): void {
    for (const listener of this.interruptListeners) listener();
  }

  lines(): string[] {
    return this.out.split('\n').filter((line) => line !== '');
  }
}

export async function runCli(
  url: string,
  argv: readonly string[],
  env: Readonly<Record<string, string>> = {},
  input = '',
): Promise<{ code: number; out: string; err: string }> {
  const cli = new CliRun(argv, { SEVER_URL: url, ...env }, input);
  const code = await cli.exit;
  return { code, out: cli.out, err: cli.err };
}
