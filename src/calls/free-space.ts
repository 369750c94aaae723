import { statfs } from 'node:fs/promises';
import { type CallStore } from './call.store';

const FRESH_MS = 5_000;

/**
 * How much is free where the database keeps its data. Only a database on this machine can be measured, and only one that
 * tells where its data lie; of any other the answer is `null`.
 */
export class FreeSpace {
  private directory: Promise<string | null> | undefined;
  private last: { at: number; bytes: Promise<number | null> } | undefined;

  constructor(
    private readonly databaseUrl: string,
    private readonly store: Pick<CallStore, 'dataDirectory'>,
    private readonly monotonic: () => number,
  ) {}

  /** Bytes, at most five seconds old. Never rejects. */
  async bytes(): Promise<number | null> {
    const now = this.monotonic();
    if (this.last === undefined || now - this.last.at > FRESH_MS)
      this.last = { at: now, bytes: this.measure() };
    return await this.last.bytes;
  }

  private async measure(): Promise<number | null> {
    if (!isHere(this.databaseUrl)) return null;
    try {
      this.directory ??= this.store.dataDirectory();
      const directory = await this.directory;
      if (directory === null) return null;
      const { bavail, bsize } = await statfs(directory);
      return bavail * bsize;
    } catch {
      // No answer, or the path is of another machine behind a forwarded port: asked again in a while.
      this.directory = undefined;
      return null;
    }
  }
}

function isHere(databaseUrl: string): boolean {
  const { hostname, searchParams } = new URL(databaseUrl);
  const host = hostname === '' ? (searchParams.get('host') ?? '') : hostname;
  return host === '' || host.startsWith('/') || /^(localhost|127\.[\d.]+|\[?::1\]?)$/.test(host);
}
