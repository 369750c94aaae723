import { comparePositions, formatPosition, type Entry, type Position } from '@sever/protocol';

const CAPACITY = 20_000;

export interface BufferedEntry {
  readonly entry: Entry;
  readonly hash: string;
}

/** Entries that came before their turn. Full, it keeps what it has: what is missing comes again with the range. */
export class EntryBuffer {
  private readonly entries = new Map<string, BufferedEntry>();

  get size(): number {
    return this.entries.size;
  }

  at(position: Position): BufferedEntry | undefined {
    return this.entries.get(formatPosition(position));
  }

  put(buffered: BufferedEntry): void {
    const key = formatPosition(buffered.entry);
    if (this.entries.size < CAPACITY || this.entries.has(key)) this.entries.set(key, buffered);
  }

  take(position: Position): BufferedEntry | undefined {
    const key = formatPosition(position);
    const found = this.entries.get(key);
    if (found !== undefined) this.entries.delete(key);
    return found;
  }

  dropUpTo(position: Position): void {
    for (const [key, { entry }] of this.entries)
      if (comparePositions(entry, position) <= 0) this.entries.delete(key);
  }
}
