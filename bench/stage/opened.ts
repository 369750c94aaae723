/** What has been opened so far, to be closed in the opposite order however far one came. */
export class Opened {
  private readonly closers: (() => Promise<unknown>)[] = [];

  stop<T extends { stop(): Promise<void> }>(opened: T): T {
    this.close(() => opened.stop());
    return opened;
  }

  close(closer: () => Promise<unknown>): void {
    this.closers.push(closer);
  }

  /** Closes all, also when one of them cannot be closed. */
  async closeAll(): Promise<void> {
    for (const close of this.closers.splice(0).reverse()) await close().catch(() => undefined);
  }
}
