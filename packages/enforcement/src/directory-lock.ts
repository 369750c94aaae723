import { spawn, type ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';

/**
 * What ends this process politely must not end the lock first: work is drained under it. Signals go to a terminal's
 * whole process group, or to all of a service's processes, so the lock has its own group and ignores them too.
 */
const HOLD = 'trap "" HUP INT QUIT TERM; exec flock -n "$0" cat';
/** The shell's word for a program that is not there. */
const NOT_FOUND = 127;

type Child = ChildProcessByStdio<Writable, Readable, null>;

/**
 * An exclusive lock on a file that the kernel releases when this process dies, however it dies.
 *
 * Node cannot lock files, so `flock` does: it holds the lock as long as its `cat` lives, and `cat` lives until this
 * process's end of the pipe is closed. A stale lock file means nothing; only the kernel's lock counts.
 */
export class DirectoryLock {
  private lostListener: (() => void) | null = null;

  private constructor(private readonly child: Child) {
    child.once('exit', () => this.lostListener?.());
    // The lock must not keep a process alive that has nothing else to do.
    child.unref();
    for (const pipe of [child.stdin, child.stdout]) (pipe as unknown as { unref(): void }).unref();
  }

  /** @throws when another process holds it, or `flock` (util-linux) is not installed */
  static async take(file: string): Promise<DirectoryLock> {
    const child = spawn('sh', ['-c', HOLD, file], {
      stdio: ['pipe', 'pipe', 'ignore'],
      detached: true,
    });
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) =>
        reject(
          code === NOT_FOUND
            ? new Error('the program "flock" (util-linux) is needed and was not found')
            : new LockHeldError(file),
        ),
      );
      // What `cat` sends back proves that it runs, and it runs only under the lock.
      child.stdout.once('data', () => resolve());
      child.stdin.on('error', () => undefined);
      child.stdin.write('\n');
    });
    return new DirectoryLock(child);
  }

  /** Tells when the lock ends although nobody released it: another process may take it now. */
  onLost(listener: () => void): void {
    this.lostListener = listener;
  }

  async release(): Promise<void> {
    this.lostListener = null;
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    this.child.ref();
    await new Promise<void>((resolve) => {
      this.child.once('exit', () => resolve());
      this.child.stdin.end();
    });
  }
}

export class LockHeldError extends Error {
  override readonly name = 'LockHeldError';
  constructor(file: string) {
    super(`${file} is locked by another process`);
  }
}
