import { randomBytes } from 'node:crypto';
import { chmodSync, linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';

/** Replaces the file with this content, whole or not at all. */
export function replaceFile(file: string, content: string, mode: number): void {
  withDraft(file, content, mode, (draft) => renameSync(draft, file));
}

/** Creates the file with this content, whole; false if there is one already. Of several at once, one gets true. */
export function createFile(file: string, content: string, mode: number): boolean {
  return withDraft(file, content, mode, (draft) => {
    try {
      linkSync(draft, file);
      return true;
    } catch (error) {
      if (codeOf(error) === 'EEXIST') return false;
      throw error;
    }
  });
}

/** The file's content; null if there is none. */
export function readIfThere(file: string): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw error;
  }
}

export function codeOf(error: unknown): string | undefined {
  // Not `instanceof Error`: errors of Node's own modules can come from another realm.
  return typeof error === 'object' && error !== null && 'code' in error
    ? String(error.code)
    : undefined;
}

function withDraft<T>(
  file: string,
  content: string,
  mode: number,
  publish: (draft: string) => T,
): T {
  const draft = `${file}.draft-${process.pid}-${randomBytes(4).toString('hex')}`;
  try {
    writeFileSync(draft, content, { mode, flag: 'wx' });
    chmodSync(draft, mode);
    return publish(draft);
  } finally {
    rmSync(draft, { force: true });
  }
}
