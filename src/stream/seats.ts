/** One listener who waits for something to tell. Whatever happens while he is not waiting is not lost to him. */
export class Seat {
  /** He is to be answered now, with what there is. */
  over = false;
  private news = false;
  private wake: (() => void) | undefined;

  tell(): void {
    this.news = true;
    this.wake?.();
  }

  end(): void {
    this.over = true;
    this.wake?.();
  }

  /** Resolves when there may be news, when the seat is over, or after that long. */
  async wait(timeoutMs: number): Promise<void> {
    if (!this.news && !this.over && timeoutMs > 0)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, timeoutMs);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    this.wake = undefined;
    this.news = false;
  }
}

/** One seat for each listener: whoever comes again has given up the older question, or another holds his key. */
export class Seats {
  private readonly taken = new Map<string, Seat>();
  private closed = false;

  take(name: string): Seat {
    const seat = new Seat();
    if (this.closed) seat.end();
    this.taken.get(name)?.end();
    this.taken.set(name, seat);
    return seat;
  }

  leave(name: string, seat: Seat): void {
    if (this.taken.get(name) === seat) this.taken.delete(name);
  }

  close(): void {
    this.closed = true;
    for (const seat of this.taken.values()) seat.end();
  }
}
