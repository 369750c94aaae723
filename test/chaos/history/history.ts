import { createWriteStream, readFileSync, type WriteStream } from 'node:fs';
import type { HistoryEvent } from './events';

const MOMENTS = new Set(['at', 'until']);

/** Everything that was seen, in the order in which it was written down; nothing is ever taken back. */
export class History {
  readonly events: HistoryEvent[] = [];
  private readonly file: WriteStream | undefined;

  /** @param path also write it there, one JSON object a line, so that a run can be looked at after it failed */
  constructor(path?: string) {
    this.file = path === undefined ? undefined : createWriteStream(path, { flags: 'a' });
  }

  add(event: HistoryEvent): void {
    this.events.push(event);
    this.file?.write(`${toLine(event)}\n`);
  }

  async close(): Promise<void> {
    const { file } = this;
    if (file !== undefined) await new Promise<void>((resolve) => file.end(resolve));
  }
}

/** Histories of several processes are merged by putting them one after the other: the checker sorts. */
export function readHistory(path: string): HistoryEvent[] {
  return readFileSync(path, 'utf8').split('\n').filter(Boolean).map(fromLine);
}

export function toLine(event: HistoryEvent): string {
  return JSON.stringify(event, (_, value: unknown) =>
    typeof value === 'bigint' ? String(value) : value,
  );
}

export function fromLine(line: string): HistoryEvent {
  return JSON.parse(line, (name, value: unknown) =>
    MOMENTS.has(name) && typeof value === 'string' ? BigInt(value) : value,
  ) as HistoryEvent;
}
