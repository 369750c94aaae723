import { execFileSync } from 'node:child_process';

/** Beside the sockets of the streams: what a process holds open anyway. */
const OTHERS = 500;

/**
 * The sidecar has two sockets for each stream. Node raises the soft limit by itself, so only the hard one is looked at.
 *
 * @throws Error that says how to raise it
 */
export function checkOpenFiles(streams: number): number {
  const said = execFileSync('/bin/sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).trim();
  const most = said === 'unlimited' ? Infinity : Number(said);
  const needed = 2 * streams + OTHERS;
  if (most >= needed) return most;
  throw new Error(
    `${streams} streams need ${needed} open files in one process, and the hard limit here is ${said}. ` +
      `Raise it (as root: prlimit --pid $$ --nofile=${needed}:${needed}) or run with --quick.`,
  );
}
