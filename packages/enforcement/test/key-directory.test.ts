import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compactVerify } from 'jose';
import { KeyDirectory } from '../src/key-directory';
import { eventually } from '../../../test/support/eventually';

let folder: string;
let path: string;
let open: KeyDirectory[] = [];
let spawned: ChildProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sever-keys-'));
  path = join(folder, 'ep', 'one');
});

afterEach(async () => {
  for (const child of spawned) child.kill('SIGKILL');
  spawned = [];
  await Promise.all(open.map((keys) => keys.close()));
  open = [];
  rmSync(folder, { recursive: true, force: true });
});

async function opened(at = path): Promise<KeyDirectory> {
  const keys = await KeyDirectory.open(at);
  open.push(keys);
  return keys;
}

const modeOf = (file: string) => (statSync(file).mode & 0o777).toString(8);

it('is made with keys that only their owner can read, and tightens a directory that was open', async () => {
  await opened();
  expect(modeOf(path)).toBe('700');
  for (const file of ['key.json', 'nats.seed', 'boots.json'])
    expect(modeOf(join(path, file))).toBe('600');
  await open.pop()?.close();
  chmodSync(path, 0o755);
  await opened();
  expect(modeOf(path)).toBe('700');
});

it('holds the same keys after a restart, and signs with them', async () => {
  const first = await opened();
  await first.close();
  const second = await opened();
  expect(second.publicKey).toEqual(first.publicKey);
  expect(second.natsPublicKey).toBe(first.natsPublicKey);
  expect(first.natsPublicKey).toMatch(/^U[A-Z2-7]{55}$/);
  const jws = await second.signer.sign('sever-receipt+jws', { applied: 1 });
  const { protectedHeader } = await compactVerify(jws, {
    kty: 'OKP',
    crv: 'Ed25519',
    x: second.publicKey.x,
  });
  expect(protectedHeader).toEqual({
    alg: 'EdDSA',
    typ: 'sever-receipt+jws',
    kid: second.signer.kid,
  });
});

it('is held by one process at a time; another directory is free', async () => {
  await opened();
  await expect(opened()).rejects.toThrow(`${path} is held by another process`);
  await expect(opened(join(folder, 'ep', 'two'))).resolves.toBeInstanceOf(KeyDirectory);
  await open[0]?.close();
  await expect(opened()).resolves.toBeInstanceOf(KeyDirectory);
});

it('is free again when its holder dies by SIGKILL', async () => {
  await (await opened()).close();
  // What a process does that holds it: its end of the pipe is what keeps the lock.
  const holder = spawn(
    process.execPath,
    [
      '-e',
      `const { spawn } = require('node:child_process');
       const child = spawn('flock', ['-n', process.argv[1], 'cat'], { stdio: ['pipe', 'inherit', 'ignore'] });
       child.stdin.write('held\\n');
       setInterval(() => {}, 1000);`,
      join(path, 'lock'),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  await once(holder.stdout, 'data');
  await expect(opened()).rejects.toThrow('is held by another process');
  holder.kill('SIGKILL');
  await expect(opened()).resolves.toBeInstanceOf(KeyDirectory);
});

it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
  'is still held after a %s to its whole process group, and free once the process is gone',
  async (signal) => {
    await (await opened()).close();
    const holder = runSource(
      `KeyDirectory.open(process.argv[2]).then((keys) => {
         keys.onLockLost(() => console.log('lost'));
         process.on('${signal}', () => console.log('draining'));
         console.log('held');
         setInterval(() => {}, 1000);
       });`,
    );
    let said = '';
    holder.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await eventually(() => expect(said).toContain('held'));
    const { pid } = holder;
    if (pid === undefined) throw new Error('it has no process id');
    const lock = flockOf(join(path, 'lock'));
    process.kill(-pid, signal);
    // As a service's supervisor does, which knows all its processes.
    process.kill(lock, signal);
    await eventually(() => expect(said).toContain('draining'));
    await expect(opened()).rejects.toThrow('is held by another process');
    expect(said).not.toContain('lost');
    holder.kill('SIGKILL');
    await expect(opened()).resolves.toBeInstanceOf(KeyDirectory);
  },
);

it('says which program is missing when there is no flock', async () => {
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  symlinkSync('/bin/sh', join(bin, 'sh'));
  const opener = runSource(
    `KeyDirectory.open(process.argv[2]).catch((error) => console.log(error.message));`,
    { PATH: bin },
  );
  let said = '';
  opener.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
  await once(opener, 'close');
  expect(said).toContain('"flock" (util-linux) is needed');
});

it('says so when the lock is lost although nobody released it', async () => {
  const keys = await opened();
  const lost = jest.fn();
  keys.onLockLost(lost);
  const pid = flockOf(join(path, 'lock'));
  process.kill(pid, 'SIGKILL');
  await eventually(() => expect(lost).toHaveBeenCalledTimes(1));
});

it('does not call a release a loss', async () => {
  const keys = await opened();
  const lost = jest.fn();
  keys.onLockLost(lost);
  await keys.close();
  expect(lost).not.toHaveBeenCalled();
});

it('remembers every boot until the control plane was told that it is gone, oldest first', async () => {
  let keys = await opened();
  expect(keys.predecessor).toBeUndefined();
  await keys.enter('bot_1');
  expect(keys.predecessor).toBeUndefined();
  await keys.close();

  keys = await opened();
  expect(keys.predecessor).toBe('bot_1');
  await keys.enter('bot_2');
  await keys.close(); // gone before it could say so

  keys = await opened();
  await keys.enter('bot_3');
  expect(keys.predecessor).toBe('bot_1');
  await keys.replaced('bot_1', 'bot_3');
  expect(keys.predecessor).toBe('bot_2');
  await keys.replaced('bot_2', 'bot_3');
  expect(keys.predecessor).toBeUndefined();
  await keys.close();

  keys = await opened();
  expect(keys.predecessor).toBe('bot_3');
});

/** A process of its own, in a process group of its own, that has the key directory's source and its path. */
function runSource(script: string, env: NodeJS.ProcessEnv = {}) {
  const register = join(__dirname, '../../../test/support/register-typescript.cjs');
  const source = join(__dirname, '../src/key-directory.ts');
  const child = spawn(
    process.execPath,
    [
      '-r',
      register,
      '-e',
      `const { KeyDirectory } = require(process.argv[1]);${script}`,
      source,
      path,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'], detached: true, env: { ...process.env, ...env } },
  );
  spawned.push(child);
  return child;
}

/** The kernel's own list of locks names the process that took it. */
function flockOf(file: string): number {
  const { ino } = statSync(file);
  const line = readFileSync('/proc/locks', 'utf8')
    .split('\n')
    .find((lock) => lock.includes('FLOCK') && lock.includes(`:${ino} `));
  const pid = Number(line?.trim().split(/\s+/)[4]);
  if (!Number.isInteger(pid) || pid <= 1) throw new Error(`nobody holds ${file}`);
  return pid;
}
