export interface QueueLimits {
  readonly records: number;
  /** Of their JSON, in UTF-16 units. */
  readonly size: number;
}

/** Records that wait in memory, each as a line of JSON. When it is full, the oldest go. */
export class CallQueue {
  private lines: string[] = [];
  private size = 0;

  constructor(
    private readonly limits: QueueLimits,
    private readonly onDropped: (records: number) => void,
  ) {}

  get length(): number {
    return this.lines.length;
  }

  push(line: string): void {
    this.lines.push(line);
    this.size += line.length;
    if (this.lines.length <= this.limits.records && this.size <= this.limits.size) return;
    // A tenth at once: to shift one by one out of a full array would cost every call.
    const gone = this.lines.splice(0, Math.max(1, Math.floor(this.lines.length / 10)));
    this.size -= lengthOf(gone);
    this.onDropped(gone.length);
  }

  /** The oldest that fit one batch; empty when there are none. */
  take(batch: QueueLimits): string[] {
    let count = 0;
    let size = 0;
    for (const line of this.lines) {
      if (count === batch.records || (count > 0 && size + line.length > batch.size)) break;
      count += 1;
      size += line.length;
    }
    this.size -= size;
    return this.lines.splice(0, count);
  }
}

function lengthOf(lines: readonly string[]): number {
  let length = 0;
  for (const line of lines) length += line.length;
  return length;
}
