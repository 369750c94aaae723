import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** A process by its number and when it started: the number alone is given out again once the process is gone. */
export interface ProcessIdentity {
  pid: number;
  /** The kernel's own words for the start, only ever compared. */
  started: string;
}

/** The process that now has this number; null if there is none, or only its unreaped remains. */
export function identify(pid: number): ProcessIdentity | null {
  const started = process.platform === 'linux' ? startFromProc(pid) : startFromPs(pid);
  return started ? { pid, started } : null;
}

export function isAlive(process: ProcessIdentity): boolean {
  return identify(process.pid)?.started === process.started;
}

function startFromProc(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may hold spaces and parentheses; fields are counted after it (state is the 3rd).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state] = fields;
    const started = fields[22 - 3];
    return state === 'Z' || state === 'X' || !started ? null : started;
  } catch {
    return null;
  }
}

function startFromPs(pid: number): string | null {
  try {
    const stdio: ['ignore', 'pipe', 'ignore'] = ['ignore', 'pipe', 'ignore'];
    const out = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], {
      encoding: 'utf8',
      stdio,
    });
    return out.trim() || null;
  } catch {
    return null;
  }
}
