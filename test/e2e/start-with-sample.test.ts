import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SeverClient } from '@sever/cli';
import { Processes, ROOT } from '../../src/demo/processes';
import { eventually } from '../support/eventually';
import { createRunFolder } from '../support/run-folder';

/** Every process that was started under this one, whoever its parent is now. */
function descendants(of: number): number[] {
  const parents = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        return [
          [Number(pid), Number(stat.slice(stat.lastIndexOf(')') + 4).split(' ')[0])] as const,
        ];
      } catch {
        return [];
      }
    });
  const below = (pid: number): number[] =>
    parents.filter(([, parent]) => parent === pid).flatMap(([child]) => [child, ...below(child)]);
  return below(of);
}

function isRunning(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

describe('npm start, as a newcomer sees it', () => {
  const processes = new Processes();
  const folder = createRunFolder('e2e-start');
  afterAll(() => processes.stopAll());

  const start = () =>
    processes.start({
      name: 'npm start',
      args: [join(ROOT, 'dist', 'main.js')],
      env: {
        SEVER_PORT: '0',
        SEVER_DATA_DIR: join(folder, 'data'),
        SEVER_SAMPLE: '1',
        SEVER_BOOTSTRAP_KEY: '',
      },
      ready: /(?:[\s\S]*)stop them\s+(curl .*)\n/,
    });

  it('prints a line that stops the sample, which does what it says', async () => {
    const started = await start();
    const key = readFileSync(join(folder, 'data', 'bootstrap.key'), 'utf8').trim();
    const url = /http:\/\/[\d.:]+/.exec(started.found)?.[0] as string;
    const client = new SeverClient({ url, key });
    expect((await client.listAgents()).items.map(({ state }) => state)).toEqual(
      Array(6).fill('active'),
    );

    const reply = execFileSync(
      'bash',
      ['-c', started.found.replace(/^curl/, 'curl -sS -w "\\n%{http_code}"')],
      {
        env: { PATH: process.env.PATH, SEVER_KEY: key },
        encoding: 'utf8',
      },
    );
    const [body, status] = reply.trim().split('\n') as [string, string];
    expect([status, (JSON.parse(body) as { state: string }).state]).toEqual(['200', 'contained']);
    expect((await client.listAgents()).items.map(({ state }) => state)).toEqual(
      Array(6).fill('killed'),
    );
    expect(await (await fetch(`${url}/console`)).text()).toContain('<!doctype html>');
    await started.stop();
  }, 120_000);

  it('leaves nothing running when it is killed, and starts again on what is there', async () => {
    const started = await start();
    const children = descendants(started.pid);
    // Postgres with its own, nats-server, the sample, its tool server and its sidecar.
    expect(children.length).toBeGreaterThanOrEqual(8);
    await started.stop('SIGKILL');
    await eventually(() => expect(children.filter(isRunning)).toEqual([]), { timeoutMs: 20_000 });

    const again = await start();
    const key = readFileSync(join(folder, 'data', 'bootstrap.key'), 'utf8').trim();
    const client = new SeverClient({
      url: /http:\/\/[\d.:]+/.exec(again.found)?.[0] as string,
      key,
    });
    const states = (await client.listAgents({ limit: 500 })).items.map(({ state }) => state);
    expect(states.filter((state) => state === 'killed')).toHaveLength(6);
    expect(states.filter((state) => state === 'active').length).toBeGreaterThanOrEqual(6);
    await again.stop();
  }, 120_000);
});
