// Node built-ins only: runs before node_modules exists.
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { BootstrapError, isExecutable, onPath, run } from './command.mjs';

const DRAFT = 'nats-draft-';

/** The order in which the control plane looks, too. */
export function findNatsServer(runtime) {
  const named = process.env.SEVER_NATS_SERVER_BIN;
  if (named && !isExecutable(named))
    throw new BootstrapError(
      `SEVER_NATS_SERVER_BIN names ${named}, which is not a program that can be run`,
    );
  const places = [
    named,
    path.join(runtime, 'nats/usr/sbin/nats-server'),
    onPath('nats-server'),
    '/usr/sbin/nats-server',
  ];
  return places.find((place) => place && isExecutable(place)) ?? null;
}

/**
 * Takes Debian's package apart without installing it: an installed one would run as a service, open to the network and
 * without authentication. Needs no rights beyond the project's folder.
 */
export function unpackNatsServer(runtime) {
  console.error(
    'sever: fetching nats-server (apt-get download, unpacked into .runtime/, nothing is installed)',
  );
  for (const leftover of readdirSync(runtime).filter((name) => name.startsWith(DRAFT)))
    rmSync(path.join(runtime, leftover), { recursive: true, force: true });
  const draft = mkdtempSync(path.join(runtime, DRAFT));
  try {
    const archive = downloadPackage(draft, runtime);
    const unpacked = path.join(draft, 'unpacked');
    const { ok, output } = run('dpkg-deb', ['-x', archive, unpacked]);
    if (!ok) throw cannot(`dpkg-deb could not unpack ${path.basename(archive)}: ${output}`);
    const program = path.join(unpacked, 'usr/sbin/nats-server');
    const check = run(program, ['--version']);
    if (!check.ok)
      throw cannot(`the nats-server that was fetched does not run here: ${check.output}`);
    rmSync(path.join(runtime, 'nats'), { recursive: true, force: true });
    renameSync(unpacked, path.join(runtime, 'nats'));
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

function downloadPackage(draft, runtime) {
  const attempts = [
    // With the machine's own package lists, if they are there and fresh.
    () => apt(draft, [], ['download', 'nats-server']),
    // With lists of our own, which takes no rights on the machine and leaves its lists alone.
    () => {
      const ownLists = prepareOwnLists(runtime);
      const update = apt(draft, ownLists, ['update']);
      return update.ok ? apt(draft, ownLists, ['download', 'nats-server']) : update;
    },
  ];
  let output = '';
  for (const attempt of attempts) {
    const result = attempt();
    const archive = readdirSync(draft).find((file) => file.endsWith('.deb'));
    if (result.ok && archive) return path.join(draft, archive);
    output = result.output;
  }
  throw cannot(output);
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

function cannot(why) {
  return new BootstrapError(
    `there is no nats-server on this machine and it could not be fetched:\n${why}\n` +
      'Any one of these helps:\n' +
      '  sudo apt-get update                        then start again (Debian, Ubuntu)\n' +
      '  brew install nats-server                   then start again (macOS)\n' +
      '  SEVER_NATS_SERVER_BIN=/path/to/nats-server a program you fetched yourself\n' +
      '  docker compose up                          brings its own broker, as does SEVER_NATS_URL',
  );
}
