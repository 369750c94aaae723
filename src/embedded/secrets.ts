import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { createFile, readIfThere } from '../broker/whole-file';
import { createDataDir } from './data-dir';

/** What is kept under which name in the data dir, each readable by its owner alone. */
const GENERATE = {
  /** 32 bytes, base64url: seals signing keys. */
  'master.key': () => randomBytes(32).toString('base64url'),
  /** The first API key, if none is configured. */
  'bootstrap.key': () => `sk_${randomBytes(32).toString('base64url')}`,
  'postgres.password': () => randomBytes(24).toString('base64url'),
} as const;

export type SecretName = keyof typeof GENERATE;

/** The secret, if it is there. */
export function readSecret(dataDir: string, name: SecretName): string | null {
  return readIfThere(join(dataDir, name))?.trim() ?? null;
}

/** Reads the secret, or makes one up and keeps it; `created` tells the two apart. Safe when two ask at once. */
export async function readOrCreateSecret(
  dataDir: string,
  name: SecretName,
): Promise<{ value: string; created: boolean }> {
  createDataDir(dataDir);
  const file = join(dataDir, name);
  const created = createFileUnlessThere(file, name);
  const value = readSecret(dataDir, name);
  if (!value) throw new Error(`${file} is empty; restore it, or remove it to have a new one made`);
  return { value, created };
}

function createFileUnlessThere(file: string, name: SecretName): boolean {
  return readIfThere(file) === null && createFile(file, `${GENERATE[name]()}\n`, 0o600);
}
