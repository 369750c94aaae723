// Node built-ins only: runs before node_modules exists.
import path from 'node:path';
import { BootstrapError, isExecutable, onPath } from './command.mjs';
import { unpackDebianPackage } from './debian-package.mjs';

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
 * Debian's package is taken apart rather than installed: an installed one would run as a service, open to the network and
 * without authentication.
 */
export function unpackNatsServer(runtime) {
  console.error(
    'sever: fetching nats-server (apt-get download, unpacked into .runtime/, nothing is installed)',
  );
  try {
    unpackDebianPackage('nats-server', runtime, 'nats', ['usr/sbin/nats-server', '--version']);
  } catch (error) {
    throw error instanceof BootstrapError ? cannot(error.message) : error;
  }
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
