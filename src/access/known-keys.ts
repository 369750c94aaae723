import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { KEY_ROLES } from '@sever/protocol';
import type { Logger } from 'pino';
import { z } from 'zod';
import { readIfThere, replaceFile } from '../broker/whole-file';
import type { Config } from '../config/config';
import { CONFIG, LOG } from '../config/config.module';
import { isDatabaseAway, within } from '../database/reach';
import { MacLines } from '../signing/mac-lines';
import { Sealer } from '../signing/sealer';
import { AccessStore, type KeyRow } from './access.store';

/** How often the database is asked which keys are valid: a revoked one is forgotten here after this at the latest. */
const REFRESH_MS = 10_000;
const READ_WITHIN_MS = 5_000;
/** A key that the database has not confirmed for so long opens nothing more. */
export const KNOWN_FOR_MS = 24 * 3_600_000;
const FILE = 'known-keys';

const KnownKey = z.object({
  hash: z.string(),
  tenant: z.string(),
  id: z.string(),
  owner_id: z.string(),
  role: z.enum(['bootstrap', ...KEY_ROLES]),
  name: z.string(),
  /** Milliseconds since the Unix epoch. */
  expires_at: z.number(),
  confirmed_at: z.number(),
});
export type KnownKey = z.infer<typeof KnownKey>;

/**
 * Keys that were valid when the database was last asked, for the hours in which it cannot be: their hashes, in memory and
 * in the data dir, each line under a MAC, so that nobody who can write there makes himself a key.
 */
@Injectable()
export class KnownKeys implements OnApplicationBootstrap, OnModuleDestroy {
  private keys = new Map<string, KnownKey>();
  private written = '';
  private timer: NodeJS.Timeout | undefined;
  private readonly lines: MacLines;

  constructor(
    private readonly store: AccessStore,
    sealer: Sealer,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(LOG) private readonly log: Logger,
  ) {
    this.lines = new MacLines(sealer.derivedKey('known keys'));
  }

  async onApplicationBootstrap(): Promise<void> {
    this.load();
    await this.refresh();
    this.timer = setInterval(() => void this.refresh(), REFRESH_MS);
    this.timer.unref();
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  /** The key with this hash, if it was valid when last looked at and neither expired nor too long unconfirmed since. */
  find(hash: Buffer): KnownKey | undefined {
    const key = this.keys.get(hash.toString('base64url'));
    const now = Date.now();
    if (key === undefined || key.expires_at <= now || key.confirmed_at + KNOWN_FOR_MS <= now)
      return undefined;
    return key;
  }

  /** The database has just said what this hash is worth. */
  confirm(hash: Buffer, row: KeyRow | undefined): void {
    const text = hash.toString('base64url');
    if (!row?.valid) {
      if (this.keys.delete(text)) this.save();
      return;
    }
    const key = KnownKey.safeParse({ ...row, hash: text, confirmed_at: Date.now() });
    if (row.source !== 'api' || row.role === 'service' || !key.success) return;
    this.keys.set(text, key.data);
    this.save();
  }

  /** It has just been revoked here: nothing waits for the next look. */
  forget(id: string): void {
    for (const [hash, key] of this.keys) if (key.id === id) this.keys.delete(hash);
    this.save();
  }

  /** Replaces what is known by what is valid now. Without an answer everything stays, and grows older. */
  async refresh(): Promise<void> {
    try {
      const rows = await within(READ_WITHIN_MS, this.store.validKeys());
      const now = Date.now();
      this.keys = new Map(
        rows.map(({ hash, expires_at, ...row }) => {
          const text = hash.toString('base64url');
          const key = { ...row, hash: text, expires_at: Number(expires_at), confirmed_at: now };
          return [text, KnownKey.parse(key)];
        }),
      );
      this.save();
    } catch (error) {
      if (!isDatabaseAway(error)) this.log.warn({ err: error }, 'could not look at the keys');
    }
  }

  private load(): void {
    if (this.file === undefined) return;
    try {
      for (const line of (readIfThere(this.file) ?? '').split('\n').filter((text) => text !== '')) {
        const text = this.lines.read(line);
        if (text === null) {
          this.log.error({ alarm: 'known_keys_tampered' }, 'a known key was changed on disk');
          continue;
        }
        const key = KnownKey.parse(JSON.parse(text));
        this.keys.set(key.hash, key);
      }
    } catch (error) {
      this.log.warn({ err: error }, 'could not read the known keys');
    }
  }

  /** Written when the set changes, and once an hour for the times in it. */
  private save(): void {
    const keys = [...this.keys.values()].sort((a, b) => (a.hash < b.hash ? -1 : 1));
    const hour = Math.floor(Date.now() / 3_600_000);
    const state = `${hour} ${keys.map(({ hash, expires_at }) => `${hash} ${expires_at}`).join()}`;
    if (state === this.written || this.file === undefined) return;
    try {
      mkdirSync(this.config.dataDir as string, { recursive: true });
      const text = keys.map((key) => `${this.lines.write(JSON.stringify(key))}\n`).join('');
      replaceFile(this.file, text, 0o600);
      this.written = state;
    } catch (error) {
      this.log.warn({ err: error }, 'could not keep the known keys');
    }
  }

  private get file(): string | undefined {
    return this.config.dataDir && join(this.config.dataDir, FILE);
  }
}
