import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

/** Where text goes. */
export interface TextSink {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
}

/** Everything that a command takes from the outside world. */
export interface CliIo {
  readonly stdout: TextSink;
  readonly stderr: TextSink;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly fetch: typeof globalThis.fetch;
  /** Wall clock, milliseconds since the epoch. */
  readonly now: () => number;
  /** Resolves after so many milliseconds; rejects when the signal is aborted. */
  readonly delay: (ms: number, signal?: AbortSignal) => Promise<unknown>;
  /** A new Idempotency-Key. */
  readonly newIdempotencyKey: () => string;
  /** Calls the listener at Ctrl-C or SIGTERM. @returns what removes it */
  readonly onInterrupt: (listener: () => void) => () => void;
  /** All that comes on standard input, up to a few hundred kilobytes. */
  readonly readInput: () => Promise<string>;
  /** Publishes one message at a broker; absent where no client for one is at hand. */
  readonly publish?: (message: {
    readonly url: string;
    readonly credsFile: string;
    readonly subject: string;
    readonly message: string;
  }) => Promise<void>;
  /** Records the exit code of the command that ran. */
  readonly setExitCode: (code: number) => void;
}

const MOST_INPUT_BYTES = 256 * 1_024;

/** The io of this process. */
export function processIo(): CliIo {
  return {
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    fetch: globalThis.fetch,
    now: Date.now,
    delay: (ms, signal) => delay(ms, undefined, signal ? { signal } : {}),
    newIdempotencyKey: randomUUID,
    readInput: async () => {
      const chunks: Buffer[] = [];
      let size = 0;
      for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
        chunks.push(chunk);
        if ((size += chunk.length) > MOST_INPUT_BYTES) break;
      }
      return Buffer.concat(chunks).toString('utf8');
    },
    onInterrupt: (listener) => {
      process.on('SIGINT', listener).on('SIGTERM', listener);
      return () => {
        process.off('SIGINT', listener).off('SIGTERM', listener);
      };
    },
    setExitCode: (code) => {
      process.exitCode = code;
    },
  };
}
