import { randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { SeverClient } from '@sever/cli';
import { freePort, Processes, ROOT, type Started } from '../../src/demo/processes';
import { check } from '../support/check';
import { eventually } from '../support/eventually';
import { createRunFolder } from '../support/run-folder';

/** The real thing: a process with its own Postgres and nats-server, killed in the worst moment. */
describe('a control plane that dies between the commit of a kill and its publication', () => {
  const processes = new Processes();
  const folder = createRunFolder('e2e-crash');
  const key = `sk_${randomBytes(32).toString('base64url')}`;
  let port: number;

  const startPlane = (failpoints: string): Promise<Started> =>
    processes.start({
      name: 'the control plane',
      args: [join(ROOT, 'dist', 'main.js')],
      env: {
        SEVER_ENV: 'test',
        SEVER_PORT: String(port),
        SEVER_DATA_DIR: join(folder, 'plane'),
        SEVER_BOOTSTRAP_KEY: key,
        SEVER_SAMPLE: '0',
        SEVER_FAILPOINTS: failpoints,
      },
      ready: /sever: listening on (http:\S+)/,
    });

  beforeAll(async () => {
    port = await freePort();
  });
  afterAll(() => processes.stopAll());

  it('cuts the tree after its restart, and the same key gives the same kill', async () => {
    const plane = await startPlane('kill.after_commit=exit');
    const sidecar = await processes.start({
      name: 'the sidecar',
      args: [join(ROOT, 'bin', 'sever.js'), 'sidecar'],
      env: {
        SEVER_URL: plane.found,
        SEVER_ENROLMENT_KEY: key,
        SEVER_SIDECAR_NAME: 'edge',
        SEVER_SIDECAR_PORT: '0',
        SEVER_DATA_DIR: join(folder, 'sidecar'),
      },
      ready: /sever sidecar: listening on (http:\S+)/,
    });
    const client = new SeverClient({ url: plane.found, key });
    const root = await client.spawn({
      name: 'root',
      initiator: { subject: 'alice' },
      scopes: ['tool:*'],
    });
    const child = await client
      .as(root.credential.token)
      .spawn({ name: 'child', scopes: ['tool:*'] });
    const survivor = await client.spawn({
      name: 'other',
      initiator: { subject: 'bob' },
      scopes: ['tool:*'],
    });
    expect(await check(sidecar.found, child.credential.token, 'x/y')).toEqual({
      decision: 'allow',
      stale: false,
    });

    const idempotencyKey = randomUUID();
    const order = (): Promise<Response> =>
      fetch(`${plane.found}/v1/agents/${root.agent.id}/kill?wait=10s`, {
        method: 'POST',
        headers: { authorization: `Bearer ${key}`, 'idempotency-key': idempotencyKey },
        body: JSON.stringify({ reason: 'worst moment' }),
      });
    await expect(order()).rejects.toThrow();

    await startPlane('');
    const denied = await eventually(
      async () => {
        const reply = await check(sidecar.found, child.credential.token, 'x/y');
        expect(reply).toMatchObject({ decision: 'deny', code: 'agent_revoked' });
        return reply as { kill_id?: string };
      },
      { timeoutMs: 20_000 },
    );
    const retried = await order();
    expect(retried.status).toBe(200);
    const kill = (await retried.json()) as { id: string; state: string };
    expect(kill).toMatchObject({ id: denied.kill_id, state: 'contained' });
    expect((await client.listKills()).items.map(({ id }) => id)).toEqual([kill.id]);
    await eventually(
      async () =>
        expect(await check(sidecar.found, survivor.credential.token, 'x/y')).toEqual({
          decision: 'allow',
          stale: false,
        }),
      { timeoutMs: 20_000 },
    );
  }, 120_000);
});
