import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { onPath } from '../../src/embedded/child-server';
import { freePort } from '../../src/embedded/ports';
import { eventually } from './eventually';
import { createRunFolder } from './run-folder';

const ROOT = join(__dirname, '..', '..');
const RUNTIME = join(ROOT, '.runtime');
const UNPACKED = join(RUNTIME, 'nginx', 'usr', 'sbin', 'nginx');

export interface RunningNginx {
  readonly url: string;
  stop(): Promise<void>;
}

/**
 * A real nginx with this in its `server { … }`, in the foreground and with everything it writes in a folder of its own.
 *
 * @param server what stands there beside `listen`
 */
export async function startNginx(server: string): Promise<RunningNginx> {
  const program = await findNginx();
  const folder = createRunFolder('test-nginx');
  mkdirSync(join(folder, 'logs'));
  const port = await freePort();
  const config = join(folder, 'nginx.conf');
  writeFileSync(config, configOf(folder, port, server));
  const child = spawn(program, ['-p', folder, '-c', config, '-e', join(folder, 'error.log')], {
    stdio: 'inherit',
  });
  const url = `http://127.0.0.1:${port}`;
  await eventually(() => fetch(url, { signal: AbortSignal.timeout(1_000) }), { timeoutMs: 10_000 });
  return { url, stop: () => stop(child) };
}

function configOf(folder: string, port: number, server: string): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${join(folder, name)};`)
    .join('\n    ');
  return `daemon off;
  master_process off;
  pid ${join(folder, 'nginx.pid')};
  events {}
  http {
    access_log off;
    ${temporary}
    server {
      listen 127.0.0.1:${port};
      ${server}
    }
  }`;
}

/** The machine's own, else Debian's package, unpacked beside the broker. */
async function findNginx(): Promise<string> {
  const found = [onPath('nginx'), '/usr/sbin/nginx', UNPACKED].find(
    (place) => place !== null && existsSync(place),
  );
  if (found) return found;
  const script =
    `import { unpackDebianPackage } from './scripts/debian-package.mjs';` +
    `unpackDebianPackage('nginx', '.runtime', 'nginx', ['usr/sbin/nginx', '-v']);`;
  await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], { cwd: ROOT });
  return UNPACKED;
}

async function stop(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await ended;
}
