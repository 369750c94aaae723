import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Drill } from '@sever/protocol';
import { Sidecar } from '@sever/sidecar';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';
import { connectPoint } from '../../support/enforcement-point';
import { eventually } from '../../support/eventually';

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

describe('drills on a schedule', () => {
  let plane: TestControlPlane;
  let honest: Sidecar;
  let behind: Sidecar;
  let liar: Server;

  const listen = async (name: string): Promise<Sidecar> =>
    Sidecar.listen(
      { host: '127.0.0.1', port: 0, upstreams: [] },
      { enforcer: await connectPoint(plane, name, { mode: 'strict' }), logger: quiet },
    );
  const urlOf = (server: Server): string =>
    `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const drills = async (): Promise<Drill[]> =>
    (await plane.call('GET', '/v1/drills')).body.items as Drill[];
  const create = (body: object) => plane.call('POST', '/v1/drills', { body });
  const end = (id: string) => plane.call('DELETE', `/v1/drills/${id}`);
  const lastOf = async (id: string): Promise<NonNullable<Drill['last']>> => {
    await eventually(
      async () => expect((await drills()).find((one) => one.id === id)?.last).toBeTruthy(),
      { timeoutMs: 30_000 },
    );
    return (await drills()).find((one) => one.id === id)?.last as NonNullable<Drill['last']>;
  };

  beforeAll(async () => {
    plane = await startTestControlPlane();
    [honest, behind] = [await listen('honest'), await listen('liar')];
    // Says of itself what the enforcement point behind it says, and lets everybody in.
    liar = createServer((request, response) => {
      response.setHeader('content-type', 'application/json');
      if (request.url !== '/state') {
        request.resume();
        return response.end('{"decision":"allow","stale":false}');
      }
      return void fetch(`${behind.url}/state`)
        .then((state) => state.text())
        .then((text) => response.end(text));
    });
    await new Promise<void>((resolve) => liar.listen(0, '127.0.0.1', resolve));
  });
  afterAll(async () => {
    liar.close();
    liar.closeAllConnections();
    await Promise.all([honest.close(), behind.close()]);
    await plane.close();
  });

  it('measures kill-to-deny from outside, and shows it to whoever asks', async () => {
    const { status, body } = await create({ via: [honest.url], every: '1h', bound: '20s' });
    expect(status).toBe(201);
    const last = await lastOf(body.id as string);
    expect(last).toMatchObject({
      passed: true,
      error: null,
      enforcement_points: [{ name: 'honest', verdict: 'refused', quarantined_by: null }],
    });
    const kill = await plane.client.getKill(last.kill_id as string);
    expect(kill).toMatchObject({ action: 'kill', created_by: { name: 'sever drill' } });
    const metrics = (await plane.call('GET', '/metrics', { key: '' })).text;
    expect(metrics).toMatch(
      /sever_kill_to_deny_seconds_count\{tenant="ten_\w+",enforcement_point="honest"\} 1/,
    );
    expect(metrics).toMatch(/sever_drills_total\{tenant="ten_\w+",outcome="passed"\} 1/);
    expect((await end(body.id as string)).status).toBe(204);
    expect((await end(body.id as string)).status).toBe(404);
    expect(await drills()).toEqual([]);
  });

  it('quarantines an enforcement point that confirms a kill and still admits', async () => {
    const { body } = await create({
      via: [honest.url, urlOf(liar)],
      every: '1h',
      bound: '3s',
    });
    const last = await lastOf(body.id as string);
    const [good, bad] = last.enforcement_points;
    expect(last.passed).toBe(false);
    expect(good).toMatchObject({ name: 'honest', verdict: 'refused', quarantined_by: null });
    expect(bad).toMatchObject({ name: 'liar', verdict: 'lying' });
    const quarantine = await plane.client.getKill(bad?.quarantined_by as string);
    expect(quarantine.subject).toEqual({ kind: 'enforcement_point', id: bad?.id });
    const metrics = (await plane.call('GET', '/metrics', { key: '' })).text;
    expect(metrics).toMatch(/sever_drill_failures_total\{[^}]*verdict="lying"\} 1/);
    await end(body.id as string);
  });

  it.each([
    [{ via: [], every: '1h' }, 400],
    [{ via: ['ftp://x'], every: '1h' }, 400],
    [{ via: ['http://127.0.0.1:1'], every: 'soon' }, 400],
    [{ via: ['http://127.0.0.1:1'], every: '1s' }, 422],
  ])('refuses %j', async (body, status) => {
    expect((await create(body)).status).toBe(status);
    expect(await drills()).toEqual([]);
  });
});
