import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import path from 'node:path';

/** Something that a person has to settle; the message says how. */
export class BootstrapError extends Error {}

/**
 * Runs a program to its end. `ok` is false also where the program does not exist. The program dies with us, where the
 * kernel can see to it: whoever takes over our lock must not meet a half-done `npm ci` that is still at work.
 */
export function run(command, args, options = {}) {
  const setpriv = process.platform === 'linux' ? onPath('setpriv') : null;
  const [program, ...rest] = setpriv
    ? [setpriv, '--pdeathsig', 'KILL', command, ...args]
    : [command, ...args];
  const { status, error, stdout, stderr } = spawnSync(program, rest, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    ...options,
  });
  const output = error ? error.message : `${stdout ?? ''}${stderr ?? ''}`.trim();
  return { ok: status === 0, output };
}

/** Where on PATH the program lies; null if it does not. */
export function onPath(program) {
  const folders = (process.env.PATH ?? '').split(path.delimiter).filter(Boolean);
  return folders.map((folder) => path.join(folder, program)).find(isExecutable) ?? null;
}

export function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
