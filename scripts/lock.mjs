// Node built-ins only: runs before node_modules exists.
//
// A lock that survives its holder's death. Each holder owns a numbered file `<name>.<n>` that names its process; the
// highest number counts. To take over from a dead holder is to create the next number, which only one process can
// (link fails if the file exists). The highest file is never removed, so a slow claimant can neither reuse a number
// nor mistake an older one for the newest.
import {
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import path from 'node:path';

const POLL_MS = 100;

/** Runs `work` while no other process holds the lock; waits for a live holder, takes over from a dead one. */
export async function withLock(folder, name, work) {
  mkdirSync(folder, { recursive: true });
  const held = await acquire(folder, name);
  try {
    return await work();
  } finally {
    replace(held, JSON.stringify({ released: true }));
  }
}

async function acquire(folder, name) {
  const me = JSON.stringify({ pid: process.pid, started: startTime(process.pid) });
  let told = false;
  for (;;) {
    const newest = highest(folder, name);
    const holder = newest === 0 ? null : liveHolder(path.join(folder, `${name}.${newest}`));
    if (holder) {
      if (!told) console.error(`sever: waiting for process ${holder}, which holds ${name}`);
      told = true;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      continue;
    }
    const mine = path.join(folder, `${name}.${newest + 1}`);
    if (!createOnce(mine, me)) continue;
    if (highest(folder, name) !== newest + 1) {
      rmSync(mine, { force: true });
      continue;
    }
    for (let n = newest; n > 0 && n > newest - 8; n--)
      rmSync(path.join(folder, `${name}.${n}`), { force: true });
    return mine;
  }
}

function highest(folder, name) {
  const numbers = readdirSync(folder)
    .filter((file) => file.startsWith(`${name}.`))
    .map((file) => Number(file.slice(name.length + 1)))
    .filter(Number.isInteger);
  return Math.max(0, ...numbers);
}

/** The pid of the process that holds the file; null if it let go or is dead. */
function liveHolder(file) {
  try {
    const { pid, started } = JSON.parse(readFileSync(file, 'utf8'));
    // A pid alone proves nothing: it is given out again after its process is gone.
    return pid && startTime(pid) === started ? pid : null;
  } catch (error) {
    if (error.code === 'ENOENT' || error instanceof SyntaxError) return null;
    throw error;
  }
}

/** When a process started, in the kernel's own words; null if there is none. */
export function startTime(pid) {
  try {
    if (process.platform === 'linux') {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      // A zombie keeps its entry, but holds nothing any more.
      return fields[0] === 'Z' || fields[0] === 'X' ? null : fields[19];
    }
    return (
      execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'ignore'],
      }).trim() || null
    );
  } catch {
    return null;
  }
}

/** Creates the file with its whole content at once; false if it is there already. */
function createOnce(file, content) {
  const draft = `${file}.draft-${process.pid}`;
  writeFileSync(draft, content);
  try {
    linkSync(draft, file);
    return true;
  } catch (error) {
    if (error.code === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(draft, { force: true });
  }
}

function replace(file, content) {
  const draft = `${file}.draft-${process.pid}`;
  writeFileSync(draft, content);
  renameSync(draft, file);
}
