import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { getDefaultEnvironment } from '@modelcontextprotocol/sdk/client/stdio.js';
import { ReadBuffer, serializeMessage } from '@modelcontextprotocol/sdk/shared/stdio.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js';
import type { StdioCommand } from '../../sidecar-file';

/** The longest message that a server may write. */
const MAX_MESSAGE_BYTES = 4 * 1_024 * 1_024;
/** How much of what it says last on its error output is kept for the log. */
const TAIL_CHARACTERS = 2_000;
/** Between the request to end and the order. */
const GRACE_MS = 1_000;

/**
 * A stdio server in a process group of its own, so that its end is the end of whatever it has started. It gets the
 * environment that the config gives it and the little that any program needs, nothing else of the sidecar's.
 */
export class ChildServer implements Transport {
  onmessage?: (message: JSONRPCMessage) => void;
  onclose?: () => void;
  onerror?: (error: Error) => void;
  private child: ChildProcess | undefined;
  private readonly buffer = new ReadBuffer({ maxBufferSize: MAX_MESSAGE_BYTES });
  private tail = '';
  private ending: Promise<void> | undefined;

  constructor(
    private readonly command: StdioCommand,
    private readonly graceMs = GRACE_MS,
  ) {}

  /** The last that it wrote on its error output. */
  get lastWords(): string {
    return this.tail;
  }

  get pid(): number | undefined {
    return this.child?.pid;
  }

  /** @throws the system's error when the program cannot be started */
  async start(): Promise<void> {
    const { argv, env, cwd } = this.command;
    const [program, ...args] = argv;
    const child = spawn(program, args, {
      ...(cwd !== undefined && { cwd }),
      env: { ...getDefaultEnvironment(), ...env },
      stdio: 'pipe',
      detached: true,
    });
    this.child = child;
    child.stdout.on('data', (chunk: Buffer) => this.read(chunk));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.tail = (this.tail + text).slice(-TAIL_CHARACTERS);
    });
    for (const stream of [child.stdin, child.stdout, child.stderr])
      stream.on('error', (error) => this.onerror?.(error));
    child.once('exit', () => {
      // What it has started must not outlive it; the group exists as long as one of them does.
      this.signal('SIGKILL');
    });
    child.once('close', () => this.onclose?.());
    await once(child, 'spawn');
    child.on('error', (error) => this.onerror?.(error));
  }

  async send(message: JSONRPCMessage): Promise<void> {
    const stdin = this.child?.stdin;
    if (stdin === null || stdin === undefined || !stdin.writable) throw new Error('It has ended');
    if (!stdin.write(serializeMessage(message))) {
      await Promise.race([once(stdin, 'drain'), once(stdin, 'close')]);
    }
  }

  /** Asks it to end, and makes it: settles when it has. */
  async close(): Promise<void> {
    this.ending ??= this.end();
    await this.ending;
  }

  private async end(): Promise<void> {
    const { child } = this;
    if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.stdin?.end();
    this.signal('SIGTERM');
    const order = setTimeout(() => this.signal('SIGKILL'), this.graceMs);
    await exited;
    clearTimeout(order);
  }

  private signal(signal: NodeJS.Signals): void {
    const pid = this.child?.pid;
    if (pid === undefined) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // nobody of the group is left
    }
  }

  private read(chunk: Buffer): void {
    try {
      this.buffer.append(chunk);
    } catch (error) {
      this.onerror?.(error as Error);
      return void this.close();
    }
    for (;;) {
      try {
        const message = this.buffer.readMessage();
        if (message === null) return;
        this.onmessage?.(message);
      } catch (error) {
        // One line that is no message, such as a greeting: the next one may be.
        this.onerror?.(error as Error);
      }
    }
  }
}
