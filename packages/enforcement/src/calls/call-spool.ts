import { appendFile, mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';

const SEGMENT = /^(\d{16})\.jsonl$/;

export interface SpoolLimits {
  /** Of all segments together. */
  readonly bytes: number;
  /** A segment is sent as one batch. */
  readonly segmentBytes: number;
  readonly segmentRecords: number;
}

/** A file of records, one a line. */
export interface Segment {
  readonly name: string;
  bytes: number;
  records: number;
}

/**
 * Records on the disk, for as long as nobody takes them. Segments in the order in which they were written; when there is no
 * more room, the oldest go. One at a time uses it.
 *
 * Written without waiting for the disk: a process that ends loses nothing, a machine that loses its power may lose what
 * it has written last.
 */
export class CallSpool {
  private segments: Segment[] = [];
  /** While it is being sent nothing is added to it. */
  private reading: Segment | undefined;
  private bytes = 0;
  private loaded: Promise<void> | undefined;

  constructor(
    private readonly directory: string,
    private readonly limits: SpoolLimits,
    private readonly onDropped: (records: number) => void,
  ) {}

  /** Records on the disk, as far as they are known: what an earlier process left is counted once it is looked at. */
  get records(): number {
    return this.segments.reduce((sum, { records }) => sum + records, 0);
  }

  /** @throws when the directory cannot be made or read */
  async load(): Promise<void> {
    this.loaded ??= this.find();
    await this.loaded.catch((error: unknown) => {
      this.loaded = undefined;
      throw error;
    });
  }

  /** @throws when the disk takes it not */
  async append(lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    await this.load();
    const text = `${lines.join('\n')}\n`;
    const bytes = Buffer.byteLength(text);
    const segment = this.roomFor(lines.length, bytes);
    await appendFile(join(this.directory, segment.name), text, { mode: 0o600 });
    if (segment.records === 0) this.segments.push(segment);
    segment.bytes += bytes;
    segment.records += lines.length;
    this.bytes += bytes;
    await this.makeRoom();
  }

  /** The oldest segment, to be sent and then removed; `undefined` when there is none. */
  async oldest(): Promise<{ segment: Segment; lines: string[] } | undefined> {
    await this.load();
    const [segment] = this.segments;
    if (segment === undefined) return undefined;
    this.reading = segment;
    try {
      return {
        segment,
        lines: linesOf(await readFile(join(this.directory, segment.name), 'utf8')),
      };
    } catch (error) {
      this.onDropped(segment.records);
      await this.remove(segment);
      throw error;
    }
  }

  async remove(segment: Segment): Promise<void> {
    this.release();
    const at = this.segments.indexOf(segment);
    // Dropped meanwhile, to make room.
    if (at < 0) return;
    this.segments.splice(at, 1);
    this.bytes -= segment.bytes;
    await rm(join(this.directory, segment.name), { force: true });
  }

  /** What was read has not been sent. */
  release(): void {
    this.reading = undefined;
  }

  private async find(): Promise<void> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    const names = (await readdir(this.directory)).filter((name) => SEGMENT.test(name)).sort();
    const found: Segment[] = [];
    for (const name of names) {
      const text = await readFile(join(this.directory, name), 'utf8');
      found.push({ name, bytes: Buffer.byteLength(text), records: linesOf(text).length });
    }
    this.segments = found;
    this.bytes = found.reduce((sum, { bytes }) => sum + bytes, 0);
    await this.makeRoom();
  }

  private roomFor(records: number, bytes: number): Segment {
    const newest = this.segments.at(-1);
    if (
      newest !== undefined &&
      newest !== this.reading &&
      newest.bytes + bytes <= this.limits.segmentBytes &&
      newest.records + records <= this.limits.segmentRecords
    )
      return newest;
    const last = newest === undefined ? 0 : Number(SEGMENT.exec(newest.name)?.[1]);
    return { name: `${String(last + 1).padStart(16, '0')}.jsonl`, bytes: 0, records: 0 };
  }

  private async makeRoom(): Promise<void> {
    while (this.bytes > this.limits.bytes && this.segments.length > 1) {
      const oldest = this.segments.shift() as Segment;
      this.bytes -= oldest.bytes;
      this.onDropped(oldest.records);
      await rm(join(this.directory, oldest.name), { force: true });
    }
  }
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}
