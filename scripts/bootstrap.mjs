// Brings in what a fresh machine lacks: node modules when the lock changed, and a nats-server if there is none.
// Node built-ins only: this runs before node_modules exists.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { BootstrapError, run } from './command.mjs';
import { withLock } from './lock.mjs';
import { findNatsServer, unpackNatsServer } from './nats-server.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
const runtime = path.join(root, '.runtime');
const stampFile = path.join(root, 'node_modules', '.sever-lock');

try {
  // One at a time: two `npm ci` in one folder destroy each other's work. Who waited finds it done.
  await withLock(runtime, 'bootstrap.lock', () => {
    installModules();
    provideNatsServer();
  });
} catch (error) {
  if (!(error instanceof BootstrapError)) throw error;
  console.error(`sever: ${error.message}`);
  process.exitCode = 1;
}

function installModules() {
  const wanted = createHash('sha256')
    .update(readFileSync(path.join(root, 'package-lock.json')))
    .digest('hex');
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === wanted) return;
  rmSync(stampFile, { force: true });
  console.error('sever: installing node modules (npm ci)');
  // No package's install script is needed, and none gets to run.
  const args = ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const { ok, output } = run('npm', args, { cwd: root });
  if (!ok)
    throw new BootstrapError(
      `could not install the node modules:\n${output}\nTry it yourself in this folder: npm ${args.join(' ')}`,
    );
  mkdirSync(path.dirname(stampFile), { recursive: true });
  writeFileSync(stampFile, wanted);
}

function provideNatsServer() {
  if (process.env.SEVER_NATS_URL) return;
  if (findNatsServer(runtime)) return;
  mkdirSync(runtime, { recursive: true });
  unpackNatsServer(runtime);
}
