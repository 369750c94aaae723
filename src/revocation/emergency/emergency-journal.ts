import { mkdir, open, readdir, readFile, rm, stat, truncate } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { z } from 'zod';
import type { Config } from '../../config/config';
import { CONFIG, LOG } from '../../config/config.module';
import { MacLines } from '../../signing/mac-lines';
import { Sealer } from '../../signing/sealer';
import { Replica } from '../../stream/replica';
import { StoredEmergency, storedForm, type EmergencyOrder } from './emergency-order';

const FOLDER = 'emergencies';
const ENDING = '.journal';
/** A kill takes about a kilobyte; who needs more than this in one outage has other troubles. */
const MAX_BYTES = 16 * 1_048_576;
/** Files in which nothing is open are kept this long, for whoever wants to look. */
const KEPT_MS = 24 * 3_600_000;

const JournalRecord = z.union([
  z.object({ open: StoredEmergency }),
  z.object({ closed: z.string() }),
]);
type JournalRecord = { open: EmergencyOrder } | { closed: string };

/**
 * Orders that are announced and not committed, on the disk of the replica that knows them: one file for each process,
 * appended and flushed, each line under a MAC, so that a restart finds them and nobody else can add one.
 */
@Injectable()
export class EmergencyJournal {
  private readonly lines: MacLines;
  private readonly folder: string;
  /** In which file an order stands. */
  private readonly home = new Map<string, string>();
  private writing: Promise<unknown> = Promise.resolve();
  /** Lines that were changed or cannot be read: each is an alarm. */
  refusedLines = 0;

  constructor(
    sealer: Sealer,
    private readonly replica: Replica,
    @Inject(CONFIG) config: Config,
    @Inject(LOG) private readonly log: Logger,
  ) {
    this.lines = new MacLines(sealer.derivedKey('emergency journal'));
    this.folder = join(config.dataDir ?? '.', FOLDER);
  }

  /** Orders that a former process, or a living neighbour in the same folder, has left open. */
  async load(): Promise<EmergencyOrder[]> {
    const open = new Map<string, EmergencyOrder>();
    try {
      await mkdir(this.folder, { recursive: true, mode: 0o700 });
      for (const name of (await readdir(this.folder))
        .filter((one) => one.endsWith(ENDING))
        .sort()) {
        const file = join(this.folder, name);
        const found = await this.read(file);
        for (const [id, emergency] of found) {
          open.set(id, emergency);
          this.home.set(id, file);
        }
        const { mtimeMs } = await stat(file);
        if (found.size === 0 && mtimeMs < Date.now() - KEPT_MS) await rm(file, { force: true });
      }
    } catch (error) {
      this.log.error({ err: error }, 'could not read the journal of emergencies');
    }
    return [...open.values()];
  }

  /** Takes as long as the disk does. @returns false when it is not on it: full, or not ours to write. */
  async append(emergency: EmergencyOrder): Promise<boolean> {
    const { id } = emergency.order;
    if (this.home.has(id)) return true;
    const file = join(this.folder, `${this.replica.id}${ENDING}`);
    const written = await this.write(file, { open: storedForm(emergency) });
    if (written) this.home.set(id, file);
    return written;
  }

  async close(killId: string): Promise<void> {
    const file = this.home.get(killId);
    if (file === undefined) return;
    this.home.delete(killId);
    await this.write(file, { closed: killId });
    const own = basename(file) === `${this.replica.id}${ENDING}`;
    if (own && ![...this.home.values()].includes(file)) await rm(file, { force: true });
  }

  private async read(file: string): Promise<Map<string, EmergencyOrder>> {
    const open = new Map<string, EmergencyOrder>();
    const lines = (await readFile(file, 'utf8')).split('\n');
    // Without a line break at its end it was never answered for: the process died while it wrote.
    lines.pop();
    for (const line of lines.filter((text) => text !== '')) {
      const record = this.parse(line);
      if (record === null) {
        this.refusedLines += 1;
        this.log.error(
          { alarm: 'emergency_journal_tampered', file: basename(file) },
          'a line of the journal of emergencies is not what was written there; it is left out',
        );
      } else if ('closed' in record) open.delete(record.closed);
      else open.set(record.open.order.id, record.open);
    }
    return open;
  }

  private parse(line: string): JournalRecord | null {
    const text = this.lines.read(line);
    if (text === null) return null;
    try {
      const parsed = JournalRecord.safeParse(JSON.parse(text));
      return parsed.success ? parsed.data : null;
    } catch {
      return null;
    }
  }

  /** One at a time, so that a write that failed takes back its own bytes and no others. */
  private async write(file: string, record: JournalRecord): Promise<boolean> {
    const line = `${this.lines.write(JSON.stringify(record))}\n`;
    const written = this.writing.then(() => append(file, line));
    this.writing = written.catch(() => undefined);
    try {
      await written;
      return true;
    } catch (error) {
      this.log.error({ err: error }, 'an emergency is not in the journal');
      return false;
    }
  }
}

async function append(file: string, line: string): Promise<void> {
  const handle = await open(file, 'a', 0o600);
  try {
    const { size } = await handle.stat();
    if (size + Buffer.byteLength(line) > MAX_BYTES) throw new Error('the journal is full');
    try {
      await handle.writeFile(line);
      await handle.sync();
    } catch (error) {
      // Half a line would hide the next one.
      await truncate(file, size).catch(() => undefined);
      throw error;
    }
    if (size === 0) await syncFolder(file);
  } finally {
    await handle.close();
  }
}

/** Else the file's name may be gone after a power cut, and with it what was flushed. */
async function syncFolder(file: string): Promise<void> {
  const folder = await open(join(file, '..'), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
