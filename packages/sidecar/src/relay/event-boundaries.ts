const LF = 0x0a;
const CR = 0x0d;
const COLON = 0x3a;

/**
 * Hands on a server-sent event stream in whole events, so that whatever is appended after any piece is an event of its
 * own. Comments between events are handed on as they come.
 *
 * An event longer than `limit` bytes is handed on in parts rather than kept; until its end `whole` is false.
 */
export class EventBoundaries {
  private kept: Buffer[] = [];
  private keptBytes = 0;
  /** The present line: where it stands and whether it is a comment. */
  private lineStart = true;
  private comment = false;
  /** A field of an event that has not ended was seen. */
  private inEvent = false;
  private afterCr = false;
  private torn = false;

  constructor(private readonly limit: number) {}

  /** True while what was handed on so far ends between two events. */
  get whole(): boolean {
    return !this.torn;
  }

  /** What can be handed on now; empty when the event goes on. */
  push(chunk: Buffer): Buffer {
    const end = this.lastBoundary(chunk);
    if (end > 0) {
      const ready = this.take(chunk.subarray(0, end));
      this.torn = false;
      this.keep(chunk.subarray(end));
      return this.overflow(ready);
    }
    this.keep(chunk);
    return this.overflow(Buffer.alloc(0));
  }

  /** What is left when the stream ends: an event without an end, which its reader discards. */
  rest(): Buffer {
    return this.take(Buffer.alloc(0));
  }

  private lastBoundary(chunk: Buffer): number {
    let boundary = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      const byte = chunk[at];
      if (byte === LF && this.afterCr) {
        // The second half of one line end: whatever the CR ended has ended already.
        this.afterCr = false;
        if (!this.inEvent) boundary = at + 1;
        continue;
      }
      this.afterCr = byte === CR;
      if (byte !== LF && byte !== CR) {
        if (this.lineStart) this.comment = byte === COLON;
        this.lineStart = false;
        continue;
      }
      if (this.lineStart) this.inEvent = false;
      else if (!this.comment) this.inEvent = true;
      this.lineStart = true;
      if (!this.inEvent) boundary = at + 1;
    }
    return boundary;
  }

  private keep(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.kept.push(bytes);
    this.keptBytes += bytes.length;
  }

  private take(last: Buffer): Buffer {
    const all = this.kept.length === 0 ? last : Buffer.concat([...this.kept, last]);
    this.kept = [];
    this.keptBytes = 0;
    return all;
  }

  private overflow(ready: Buffer): Buffer {
    if (this.keptBytes <= this.limit && !this.torn) return ready;
    const part = this.take(Buffer.alloc(0));
    if (part.length > 0) this.torn = true;
    return ready.length === 0 ? part : Buffer.concat([ready, part]);
  }
}
