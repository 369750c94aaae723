/** Turns callbacks into awaited values, one reader at a time. */
export class MessageQueue<T> {
  private readonly values: T[] = [];
  private error: Error | null = null;
  private reader: (() => void) | null = null;

  push(value: T): void {
    this.values.push(value);
    this.reader?.();
  }

  fail(error: Error): void {
    this.error = error;
    this.reader?.();
  }

  async next(timeoutMs: number): Promise<T> {
    if (this.values.length === 0 && this.error === null)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        this.reader = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    this.reader = null;
    const value = this.values.shift();
    if (value !== undefined) return value;
    throw this.error ?? new Error(`nothing came within ${timeoutMs} ms`);
  }
}
