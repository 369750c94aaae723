import type { Exchange } from './exchange';

/** Every exchange that runs, of whatever protocol, so that a stop of the sidecar can end them. */
export class Exchanges {
  private readonly open = new Set<Exchange>();
  private stopping = false;
  private onIdle: (() => void) | undefined;

  run(exchange: Exchange): void {
    this.open.add(exchange);
    if (this.stopping) exchange.end();
    void exchange.run().finally(() => {
      this.open.delete(exchange);
      if (this.open.size === 0) this.onIdle?.();
    });
  }

  /**
   * Refuses new ones at once, gives running ones `drainMs` to end, then cuts what is left. Streams that only listen are
   * cut at once, since they never end.
   */
  async stop(drainMs: number): Promise<void> {
    this.stopping = true;
    for (const exchange of this.open) if (exchange.isListening) exchange.end();
    const idle = new Promise<void>((resolve) => {
      if (this.open.size === 0) resolve();
      else this.onIdle = resolve;
    });
    const cut = setTimeout(() => {
      for (const exchange of this.open) exchange.end();
    }, drainMs);
    await idle;
    clearTimeout(cut);
  }
}
