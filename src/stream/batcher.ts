interface Waiting<I, O> {
  readonly input: I;
  resolve(output: O): void;
  reject(error: unknown): void;
}

/**
 * One run serves everything that waits. A run begins after each of its inputs was given, so what it reads is never
 * older than the question; inputs that come during a run go into the next.
 */
export class Batcher<I, O> {
  private waiting: Waiting<I, O>[] = [];
  private running = false;

  /** @param run one output for each input, in the same order */
  constructor(
    private readonly run: (inputs: I[]) => Promise<readonly O[]>,
    private readonly maxInputs = 500,
  ) {}

  get idle(): boolean {
    return !this.running && this.waiting.length === 0;
  }

  add(input: I): Promise<O> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ input, resolve, reject });
      if (this.running) return;
      this.running = true;
      // Not at once: messages that arrived in one packet belong together.
      queueMicrotask(() => void this.work());
    });
  }

  private async work(): Promise<void> {
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, this.maxInputs);
      try {
        const outputs = await this.run(batch.map(({ input }) => input));
        batch.forEach((waiting, at) => waiting.resolve(outputs[at] as O));
      } catch (error) {
        for (const waiting of batch) waiting.reject(error);
      }
    }
    this.running = false;
  }
}
