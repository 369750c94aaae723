import { ProblemError } from '@sever/protocol';
import { EventBoundaries } from '../relay/event-boundaries';

/** What becomes of the data of one event: other data in its place, or `undefined`: it goes on as it came. */
export type Rewrite = (data: string) => Promise<string | undefined>;

export interface EventReading {
  /** The longest event, in bytes. */
  readonly limit: number;
  /** Only events that hold these bytes are looked at, and a longer one than the limit goes on unread; absent: all are. */
  readonly only?: string | undefined;
  readonly rewrite: Rewrite;
}

/**
 * Hands on a stream of server-sent events with the data of some rewritten; each piece holds whole events.
 *
 * @throws ProblemError `upstream_unreachable` when an event that must be looked at is longer than the limit
 */
export async function* rewriteEvents(
  bytes: AsyncIterable<Buffer>,
  reading: EventReading,
): AsyncGenerator<Buffer> {
  const boundaries = new EventBoundaries(reading.limit);
  const events = new EventText(reading.rewrite);
  for await (const chunk of bytes) {
    const isRest = !boundaries.whole;
    const ready = boundaries.push(chunk);
    if (ready.length === 0) continue;
    const isTorn = isRest || !boundaries.whole;
    if (isTorn && reading.only === undefined) {
      throw unreadable('sends an event that is too long to be looked at');
    }
    if (isTorn || (reading.only !== undefined && !ready.includes(reading.only))) yield ready;
    else yield await events.read(ready);
  }
  // An event without an end is none to its reader, and nobody has looked at it.
}

export function unreadable(what: string): ProblemError {
  return new ProblemError('upstream_unreachable', `The tool server ${what}`);
}

/** Reads whole events as the standard says: lines may end in three ways, and one BOM may come first. */
class EventText {
  private first = true;

  constructor(private readonly rewrite: Rewrite) {}

  async read(bytes: Buffer): Promise<Buffer> {
    let text = bytes.toString('utf8');
    if (this.first && text.startsWith('\uFEFF')) text = text.slice(1);
    this.first = false;
    const out: string[] = [];
    let event: string[] = [];
    for (const line of text.split(/\r\n|\r|\n/)) {
      if (line !== '') event.push(line);
      else if (event.length > 0) {
        out.push(await this.readEvent(event));
        event = [];
      }
    }
    // Comments may stand at the end without an empty line after them.
    if (event.length > 0) out.push(`${event.join('\n')}\n`);
    return Buffer.from(out.join(''));
  }

  private async readEvent(lines: readonly string[]): Promise<string> {
    const data = lines.filter(isData).map((line) => /^data:? ?(.*)$/s.exec(line)?.[1] ?? '');
    const other = data.length === 0 ? undefined : await this.rewrite(data.join('\n'));
    const kept = other === undefined ? lines : lines.filter((line) => !isData(line));
    return `${[...kept, ...(other === undefined ? [] : [`data: ${other}`])].join('\n')}\n\n`;
  }
}

function isData(line: string): boolean {
  return line === 'data' || line.startsWith('data:');
}
