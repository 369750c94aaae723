import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';

/** A place of a tenant's stream that is known to have been committed. */
export interface Mark {
  readonly epoch: number;
  readonly seq: number;
  /** The chain's value after it, base64url; absent where only the place is known. */
  readonly digest?: string | undefined;
  /** The longest lease that has been given, milliseconds. */
  readonly leaseMs?: number | undefined;
}

type Marks = Map<string, Mark>;

const FOLDER = 'published';
/** A write takes milliseconds; under load what was published meanwhile goes together. */
const PAUSE_MS = 50;
/** Another process may share the folder; what it wrote last stays until it can only be a leftover. */
const LEFTOVER_MS = 3_600_000;

/**
 * The highest place of each tenant's stream that this replica knows to have been committed and told, on its own disk and
 * not in the database that it is compared with. Written behind the publication, never before it, so that it costs a kill
 * nothing. What a crash keeps from the disk, enforcement points have heard, and show.
 */
export class HighWater {
  private readonly marks: Marks;
  private readonly file: string;
  private writing: Promise<void> | undefined;
  private dirty = false;
  private closed = false;

  private constructor(
    private readonly folder: string,
    name: string,
    private readonly log: Logger,
  ) {
    this.file = join(folder, `${name}.json`);
    this.marks = this.readAll();
    this.dirty = this.marks.size > 0;
  }

  /**
   * Reads what this and earlier processes have left in the data dir.
   *
   * @param name of this process; each writes a file of its own
   */
  static open(dataDir: string, name: string, log: Logger): HighWater {
    const folder = join(dataDir, FOLDER);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return new HighWater(folder, name, log);
  }

  get(tenant: string): Mark | undefined {
    return this.marks.get(tenant);
  }

  entries(): IterableIterator<[string, Mark]> {
    return this.marks.entries();
  }

  /** Keeps the higher place, and the longest lease. */
  raise(tenant: string, mark: Mark): void {
    const merged = higher(this.marks.get(tenant), mark);
    if (merged === this.marks.get(tenant)) return;
    this.marks.set(tenant, merged);
    this.dirty = true;
    this.writing ??= this.writeAll().finally(() => (this.writing = undefined));
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.writing;
    await this.write();
  }

  private async writeAll(): Promise<void> {
    while (this.dirty && !this.closed) {
      await this.write();
      await delay(PAUSE_MS, undefined, { ref: false });
    }
  }

  private async write(): Promise<void> {
    if (!this.dirty) return;
    this.dirty = false;
    const draft = `${this.file}.draft`;
    try {
      const file = await open(draft, 'w', 0o600);
      try {
        await file.writeFile(JSON.stringify(Object.fromEntries(this.marks)));
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(draft, this.file);
      const folder = await open(this.folder, 'r');
      await folder.sync().finally(() => folder.close());
    } catch (error) {
      this.dirty = true;
      this.log.error({ err: error }, 'could not note what has been published');
    }
  }

  private readAll(): Marks {
    const marks: Marks = new Map();
    for (const name of readdirSync(this.folder)) {
      if (!name.endsWith('.json')) continue;
      const file = join(this.folder, name);
      try {
        const found = JSON.parse(readFileSync(file, 'utf8')) as Record<string, Mark>;
        for (const [tenant, mark] of Object.entries(found))
          marks.set(tenant, higher(marks.get(tenant), mark));
        if (Date.now() - statSync(file).mtimeMs > LEFTOVER_MS) rmSync(file, { force: true });
      } catch (error) {
        this.log.error({ err: error, file }, 'cannot read what has been published');
      }
    }
    return marks;
  }
}

function higher(present: Mark | undefined, mark: Mark): Mark {
  if (present === undefined) return mark;
  const later = mark.epoch - present.epoch || mark.seq - present.seq;
  const place = later > 0 || (later === 0 && present.digest === undefined) ? mark : present;
  const leaseMs = Math.max(present.leaseMs ?? 0, mark.leaseMs ?? 0) || undefined;
  if (place.epoch === present.epoch && place.seq === present.seq)
    if (place.digest === present.digest && leaseMs === present.leaseMs) return present;
  return { epoch: place.epoch, seq: place.seq, digest: place.digest, leaseMs };
}
