import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';

export const ROOT = join(__dirname, '..', '..');
const SOURCES = join(ROOT, 'test/support/register-typescript.cjs');
const STOP_WITHIN_MS = 10_000;

interface Reply {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: string;
}

/** A child process of this benchmark that answers requests one by one. It ends with its parent. */
export class Child {
  private readonly waiting = new Map<number, { ok(value: unknown): void; fail(e: Error): void }>();
  private readonly ended: Promise<void>;
  private serial = 0;

  private constructor(private readonly process: ChildProcess) {
    this.ended = new Promise((resolve) => process.once('exit', () => resolve()));
    process.on('message', (reply: Reply) => this.answered(reply));
    void this.ended.then(() => {
      for (const { fail } of this.waiting.values()) fail(new Error('the child process has ended'));
    });
  }

  /** @param file TypeScript, from the root of the project */
  static start(file: string): Child {
    return new Child(fork(join(ROOT, file), [], { cwd: ROOT, execArgv: ['-r', SOURCES] }));
  }

  ask<T>(question: string, input: object = {}): Promise<T> {
    const id = ++this.serial;
    return new Promise<T>((resolve, reject) => {
      this.waiting.set(id, { ok: resolve, fail: reject });
      this.process.send({ id, question, input });
    });
  }

  async stop(): Promise<void> {
    const force = setTimeout(() => this.process.kill('SIGKILL'), STOP_WITHIN_MS);
    if (this.process.connected) this.process.disconnect();
    await this.ended;
    clearTimeout(force);
  }

  private answered({ id, value, error }: Reply): void {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    if (error === undefined) waiting?.ok(value);
    else waiting?.fail(new Error(error));
  }
}

export type Answers = Readonly<Record<string, (input: never) => Promise<unknown>>>;

/** The child's side: answers its parent's questions, and ends when the parent lets go of it. */
export function answer(answers: Answers, onEnd: () => Promise<void>): void {
  process.on(
    'message',
    ({ id, question, input }: { id: number; question: string; input: never }) => {
      const asked = answers[question] ?? (() => Promise.reject(new Error(`what is ${question}?`)));
      asked(input).then(
        (value) => process.send?.({ id, value }),
        (error: unknown) =>
          process.send?.({
            id,
            error: error instanceof Error ? (error.stack ?? '') : String(error),
          }),
      );
    },
  );
  process.once('disconnect', () => void onEnd().finally(() => process.exit(0)));
}
