import { accessSync, chmodSync, constants, existsSync, mkdirSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

/** `nobody` on every Debian. Postgres refuses to run as root, so under root it runs as this user. */
const NOBODY = { uid: 65534, gid: 65534 } as const;

/** `.sever` in the working directory; as root `/var/lib/sever`, which the user that Postgres then runs as can enter. */
export function defaultDataDir(): string {
  return isRoot() ? '/var/lib/sever' : resolve('.sever');
}

/** Who Postgres runs as: nobody when we are root, else the caller itself. */
export function postgresUser(): { uid: number; gid: number } | undefined {
  return isRoot() ? NOBODY : undefined;
}

/**
 * Creates the folder with its parents, unless it is there.
 *
 * @returns the topmost folder that was missing
 * @throws Error that names the setting if it cannot be made, or is nothing that we may write into
 */
export function createDataDir(dataDir: string): string | undefined {
  try {
    const missing = upTo(dataDir, '/').filter((folder) => !existsSync(folder));
    // One at a time: where the kernel makes no folders, as below /proc, a recursive mkdir of Node never comes back.
    for (const folder of missing.toReversed()) createFolder(folder);
    accessSync(`${dataDir}/.`, constants.W_OK | constants.X_OK);
    return missing.at(-1);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new Error(
      `SEVER_DATA_DIR: ${dataDir} is no folder that can be written to, and cannot be made one (${String(code)}). Set it to another folder.`,
      { cause },
    );
  }
}

function createFolder(folder: string): void {
  try {
    mkdirSync(folder, { mode: 0o755 });
  } catch (error) {
    // Another process may have been faster; whether it is a folder is seen afterwards.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** Creates the folder. @throws Error if it cannot be, or if Postgres could not enter it. */
export function prepareDataDir(dataDir: string): void {
  const firstCreated = createDataDir(dataDir);
  if (!isRoot()) return;
  // What we made ourselves we may open, whatever the umask said; the secrets in it have modes of their own.
  if (firstCreated) for (const folder of upTo(dataDir, firstCreated)) openForPassing(folder);
  openForPassing(dataDir);
  const closed = upTo(dataDir, '/').find((folder) => (statSync(folder).mode & 0o001) === 0);
  if (closed) {
    throw new Error(
      `Postgres runs as another user (uid ${NOBODY.uid}) when Sever runs as root, and that user cannot enter ${closed}. ` +
        'Set SEVER_DATA_DIR to a folder that others may pass through, such as one under /var/lib.',
    );
  }
}

function openForPassing(folder: string): void {
  const mode = statSync(folder).mode & 0o7777;
  if ((mode & 0o011) !== 0o011) chmodSync(folder, mode | 0o011);
}

/** The folder and its parents, as far up as `top`. */
function upTo(folder: string, top: string): string[] {
  const path = resolve(folder);
  return path === resolve(top) || path === dirname(path)
    ? [path]
    : [path, ...upTo(dirname(path), top)];
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}
