import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { identify } from '../../../src/embedded/process-identity';
import { createRunFolder } from '../../support/run-folder';
import { runScript } from '../../support/run-script';

const ROOT = resolve(__dirname, '../../..');

describe('bootstrap', () => {
  it('installs the node modules once when two start at once, and not again until the lock changes', async () => {
    const project = emptyProject();
    const both = await Promise.all([bootstrap(project), bootstrap(project)]);
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    expect(installations(both)).toBe(1);
    expect(installations([await bootstrap(project)])).toBe(0);

    writeLock(project, '2.0.0');
    expect(installations([await bootstrap(project)])).toBe(1);
  });

  it('takes over from a bootstrap that was killed, also when its number went to another process', async () => {
    const project = emptyProject();
    const { pid: gone } = spawnSync(process.execPath, ['-e', '']);
    holdLock(project, 1, { pid: gone, started: '1' });
    expect(await bootstrap(project)).toMatchObject({ code: 0 });
    holdLock(project, 3, { pid: process.pid, started: '1' });
    expect(await bootstrap(project)).toMatchObject({ code: 0 });
  });

  it('waits for one that lives', async () => {
    const project = emptyProject();
    holdLock(project, 1, identify(process.pid));
    let done = false;
    const waiting = bootstrap(project, (line) => {
      // Let go only once it says that it waits.
      if (line.includes(`waiting for process ${process.pid}`)) {
        expect(done).toBe(false);
        holdLock(project, 1, { released: true });
      }
    }).finally(() => (done = true));
    expect(await waiting).toMatchObject({
      code: 0,
      stderr: expect.stringContaining(`waiting for process ${process.pid}`),
    });
  });

  it('says what it cannot do and what would help', async () => {
    const project = emptyProject();
    const missing = await bootstrap(project, undefined, {
      SEVER_NATS_URL: '',
      SEVER_NATS_SERVER_BIN: join(project, 'nothing-here'),
    });
    expect(missing).toMatchObject({ code: 1, stderr: expect.stringContaining('nothing-here') });

    const runtime = join(project, '.runtime');
    const script = join(project, 'unpack.mjs');
    writeFileSync(
      script,
      `import { unpackNatsServer } from './scripts/nats-server.mjs'; unpackNatsServer(process.argv[2]);`,
    );
    // No apt-get, no dpkg-deb: as on a machine that is no Debian.
    const elsewhere = await runScript(script, [runtime], { PATH: onlyNode(project) });
    expect(elsewhere.code).toBe(1);
    for (const wayOut of ['sudo apt-get update', 'SEVER_NATS_SERVER_BIN=', 'docker compose up'])
      expect(elsewhere.stderr).toContain(wayOut);
    expect(readdirSync(runtime).filter((name) => name.startsWith('nats'))).toEqual([]);
  });

  /** A project with this one's scripts and nothing to install. */
  function emptyProject(): string {
    const project = createRunFolder('test-bootstrap');
    cpSync(join(ROOT, 'scripts'), join(project, 'scripts'), { recursive: true });
    writeLock(project, '1.0.0');
    return project;
  }

  function writeLock(project: string, version: string): void {
    const manifest = { name: 'empty', version };
    writeFileSync(join(project, 'package.json'), JSON.stringify(manifest));
    writeFileSync(
      join(project, 'package-lock.json'),
      JSON.stringify({ ...manifest, lockfileVersion: 3, packages: { '': manifest } }),
    );
  }

  function holdLock(project: string, number: number, content: unknown): void {
    mkdirSync(join(project, '.runtime'), { recursive: true });
    writeFileSync(join(project, '.runtime', `bootstrap.lock.${number}`), JSON.stringify(content));
  }

  function onlyNode(project: string): string {
    const folder = join(project, 'bin');
    mkdirSync(folder);
    symlinkSync(process.execPath, join(folder, 'node'));
    return folder;
  }

  async function bootstrap(
    project: string,
    onError?: (line: string) => void,
    env: NodeJS.ProcessEnv = { SEVER_NATS_URL: 'nats://elsewhere' },
  ) {
    return runScript(join(project, 'scripts/bootstrap.mjs'), [], env, onError);
  }

  function installations(runs: { stderr: string }[]): number {
    return runs.filter(({ stderr }) => stderr.includes('installing node modules')).length;
  }
});
