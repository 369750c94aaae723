import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { ProcessIdentity } from '../../../src/embedded/process-identity';

const ROOT = resolve(__dirname, '../../..');

export interface EmbeddedProcess {
  pid: number;
  databaseUrl: string;
  nats: { url: string; credsFile: string; accountSeedFile: string };
  kill(signal: NodeJS.Signals): void;
  ended: Promise<{ code: number | null; errors: string }>;
}

/** Starts the servers in a Node process of their own, as `npm start` does. Throws its errors if it ends before they run. */
export async function startInProcess(
  dataDir: string,
  env: NodeJS.ProcessEnv = {},
): Promise<EmbeddedProcess> {
  const child = spawn(
    process.execPath,
    ['-r', './test/support/register-typescript.cjs', join(__dirname, 'hold-embedded.ts'), dataDir],
    { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } },
  );
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString('utf8')));
  const ended = new Promise<{ code: number | null; errors: string }>((done) => {
    child.once('close', (code) => done({ code, errors }));
  });
  const line = new Promise<string>((done) => {
    createInterface({ input: child.stdout }).once('line', done);
  });
  const first = await Promise.race([line, ended]);
  if (typeof first !== 'string') throw new Error(`exit code ${first.code}: ${first.errors}`);
  const address = JSON.parse(first) as Pick<EmbeddedProcess, 'databaseUrl' | 'nats'>;
  return { ...address, pid: child.pid ?? 0, kill: (signal) => void child.kill(signal), ended };
}

/** The servers that the data dir's control plane runs, by its own notes. */
export function serversOf(dataDir: string): ProcessIdentity[] {
  const notes = readFileSync(join(dataDir, 'children.json'), 'utf8');
  return Object.values(JSON.parse(notes) as Record<string, ProcessIdentity>);
}
