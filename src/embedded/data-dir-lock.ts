import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { identify, isAlive, type ProcessIdentity } from './process-identity';
import { createFile, readIfThere, replaceFile } from '../broker/whole-file';

const NAME = 'control-plane.lock';

export class DataDirHeld extends Error {
  override readonly name = 'DataDirHeld';
  constructor(
    dataDir: string,
    readonly pid: number,
  ) {
    super(
      `${dataDir} is held by a running control plane (pid ${pid}). Stop that one, or set SEVER_DATA_DIR to another folder.`,
    );
  }
}

export interface DataDirLock {
  release(): void;
}

/**
 * One control plane per data dir, also after one was killed. Each holder owns a numbered file that names its process;
 * the highest number counts. Taking over from a dead holder is creating the next number, which only one process can.
 * The highest file is never removed, so a slow claimant can neither reuse a number nor mistake an old file for the newest.
 *
 * @throws DataDirHeld if its holder lives.
 */
export function lockDataDir(dataDir: string): DataDirLock {
  mkdirSync(dataDir, { recursive: true });
  const me = identify(process.pid);
  if (!me) throw new Error('cannot tell when this process started (no /proc and no ps)');
  for (;;) {
    const newest = highest(dataDir);
    const holder = newest > 0 ? liveHolder(fileOf(dataDir, newest)) : null;
    if (holder) throw new DataDirHeld(dataDir, holder.pid);
    const mine = fileOf(dataDir, newest + 1);
    if (!createFile(mine, JSON.stringify(me), 0o600)) continue;
    // Between our look and our claim others may have come and gone, and removed the file whose number we then took.
    if (highest(dataDir) !== newest + 1) {
      rmSync(mine, { force: true });
      continue;
    }
    for (const old of numbers(dataDir))
      if (old <= newest) rmSync(fileOf(dataDir, old), { force: true });
    return { release: () => replaceFile(mine, JSON.stringify({ released: true }), 0o600) };
  }
}

function fileOf(dataDir: string, number: number): string {
  return join(dataDir, `${NAME}.${number}`);
}

function highest(dataDir: string): number {
  return Math.max(0, ...numbers(dataDir));
}

function numbers(dataDir: string): number[] {
  return readdirSync(dataDir)
    .filter((file) => file.startsWith(`${NAME}.`))
    .map((file) => Number(file.slice(NAME.length + 1)))
    .filter(Number.isInteger);
}

function liveHolder(file: string): ProcessIdentity | null {
  const content = readIfThere(file);
  if (content === null) return null;
  const holder = JSON.parse(content) as Partial<ProcessIdentity>;
  if (holder.pid === undefined || holder.started === undefined) return null;
  const identity = { pid: holder.pid, started: holder.started };
  return isAlive(identity) ? identity : null;
}
