import { chmodSync, mkdirSync, statSync } from 'node:fs';
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

/** Creates the folder. @throws Error if Postgres could not enter it. */
export function prepareDataDir(dataDir: string): void {
  const firstCreated = mkdirSync(dataDir, { recursive: true, mode: 0o755 });
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
