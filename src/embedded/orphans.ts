import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { readIfThere, replaceFile } from '../broker/whole-file';
import { identify, isAlive, type ProcessIdentity } from './process-identity';

const LEAVE_ALONE_MS = 5_000;
const STOP_WITHIN_MS = 10_000;
const POLL_MS = 50;

/** Which servers a data dir's control plane runs, written down for whoever comes after it was killed. */
export class ChildRecord {
  private readonly file: string;
  private children: Record<string, ProcessIdentity> = {};

  constructor(dataDir: string) {
    this.file = join(dataDir, 'children.json');
  }

  add(name: string, { pid, started }: ProcessIdentity): void {
    this.children[name] = { pid, started };
    replaceFile(this.file, JSON.stringify(this.children), 0o600);
  }

  clear(): void {
    this.children = {};
    replaceFile(this.file, '{}', 0o600);
  }

  /** The servers that the last control plane left behind and that still run. */
  orphans(): ProcessIdentity[] {
    const content = readIfThere(this.file);
    if (content === null) return [];
    return Object.values(JSON.parse(content) as Record<string, ProcessIdentity>).filter(isAlive);
  }
}

/**
 * Waits for servers whose control plane died: they got a signal at its death and are on their way out. What is still
 * there after 5 s is ended, never by number alone.
 */
export async function outliveOrphans(
  orphans: ProcessIdentity[],
  log: (line: string) => void,
): Promise<void> {
  await gone(orphans, LEAVE_ALONE_MS);
  for (const orphan of orphans.filter(isAlive)) {
    log(`ending process ${orphan.pid}, a server left behind by a control plane that died`);
    signal(orphan, 'SIGINT');
  }
  await gone(orphans, STOP_WITHIN_MS);
  for (const orphan of orphans.filter(isAlive)) signal(orphan, 'SIGKILL');
  await gone(orphans, STOP_WITHIN_MS);
}

/** The process that runs a program with this argument, if that is what the number stands for. */
export function processWithArgument(pid: number, argument: string): ProcessIdentity | null {
  const identity = identify(pid);
  return identity && commandLine(pid).includes(argument) ? identity : null;
}

function commandLine(pid: number): string[] {
  try {
    if (process.platform === 'linux')
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return execFileSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' })
      .trim()
      .split(' ');
  } catch {
    return [];
  }
}

async function gone(processes: ProcessIdentity[], withinMs: number): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (processes.some(isAlive) && performance.now() < deadline) await delay(POLL_MS);
}

function signal(target: ProcessIdentity, name: NodeJS.Signals): void {
  try {
    if (isAlive(target)) process.kill(target.pid, name);
  } catch (error) {
    // Gone between the look and the signal.
    if (identify(target.pid)?.started === target.started) throw error;
  }
}
