// Node built-ins only: runs before node_modules exists.
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { BootstrapError, run } from './command.mjs';

/**
 * Takes one of Debian's packages apart into `<runtime>/<folder>` without installing it. Needs no rights beyond the
 * project's folder.
 *
 * @param check the program in it, from the root of the package, and how to see that it runs
 */
export function unpackDebianPackage(name, runtime, folder, [program, ...args]) {
  mkdirSync(runtime, { recursive: true });
  const prefix = `${folder}-draft-`;
  for (const leftover of readdirSync(runtime).filter((entry) => entry.startsWith(prefix)))
    rmSync(path.join(runtime, leftover), { recursive: true, force: true });
  const draft = mkdtempSync(path.join(runtime, prefix));
  try {
    const archive = downloadPackage(name, draft, runtime);
    const unpacked = path.join(draft, 'unpacked');
    const { ok, output } = run('dpkg-deb', ['-x', archive, unpacked]);
    if (!ok)
      throw new BootstrapError(`dpkg-deb could not unpack ${path.basename(archive)}: ${output}`);
    const check = run(path.join(unpacked, program), args);
    if (!check.ok)
      throw new BootstrapError(`the ${name} that was fetched does not run here: ${check.output}`);
    rmSync(path.join(runtime, folder), { recursive: true, force: true });
    renameSync(unpacked, path.join(runtime, folder));
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

function downloadPackage(name, draft, runtime) {
  const attempts = [
    // With the machine's own package lists, if they are there and fresh.
    () => apt(draft, [], ['download', name]),
    // With lists of our own, which takes no rights on the machine and leaves its lists alone.
    () => {
      const ownLists = prepareOwnLists(runtime);
      const update = apt(draft, ownLists, ['update']);
      return update.ok ? apt(draft, ownLists, ['download', name]) : update;
    },
  ];
  let output = '';
  for (const attempt of attempts) {
    const result = attempt();
    const archive = readdirSync(draft).find((file) => file.endsWith('.deb'));
    if (result.ok && archive) return path.join(draft, archive);
    output = result.output;
  }
  throw new BootstrapError(output);
}

function apt(cwd, options, command) {
  // As root, apt would fetch as another user, who may not enter this folder.
  const sandbox = ['-o', 'APT::Sandbox::User='];
  return run('apt-get', ['-qq', ...sandbox, ...options, ...command], { cwd });
}

function prepareOwnLists(runtime) {
  const state = path.join(runtime, 'apt/state');
  const cache = path.join(runtime, 'apt/cache');
  mkdirSync(path.join(state, 'lists/partial'), { recursive: true });
  mkdirSync(path.join(cache, 'archives/partial'), { recursive: true });
  return [
    ...['-o', `Dir::State=${state}`, '-o', `Dir::Cache=${cache}`],
    ...['-o', 'Dir::State::status=/var/lib/dpkg/status'],
  ];
}
