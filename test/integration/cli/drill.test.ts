import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { DrillResult } from '@sever/cli';
import { runSidecar, type RunningSidecar } from '@sever/sidecar';
import { sever } from '../../support/cli';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';
import { createRunFolder } from '../../support/run-folder';

/** What stands in front of a sidecar, and answers checks in its stead. */
interface Front {
  readonly url: string;
  close(): Promise<void>;
}

/** Says who it is in the words of the sidecar behind it; what it answers to a check is the test's. */
async function startFront(
  behind: string,
  check: (honest: { status: number; body: string }) => { status: number; body: string },
): Promise<Front> {
  const server: Server = createServer((request, response) => {
    void (async () => {
      const body = request.method === 'POST' ? await read(request) : undefined;
      const honest = await fetch(`${behind}${request.url}`, {
        method: request.method as string,
        ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
      });
      const answer = { status: honest.status, body: await honest.text() };
      const { status, body: text } = request.url === '/check' ? check(answer) : answer;
      response.writeHead(status, { 'content-type': 'application/json' }).end(text);
    })().catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function read(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text;
}

const ALLOW = { status: 200, body: '{"decision":"allow","stale":false}' };
const DENY = {
  status: 403,
  body: '{"decision":"deny","code":"agent_revoked","reason":"revoked","stale":false}',
};

describe('sever drill', () => {
  let plane: TestControlPlane;
  const sidecars: RunningSidecar[] = [];
  const fronts: Front[] = [];

  const sidecar = async (name: string): Promise<RunningSidecar> => {
    const io = {
      stdout: { write: () => undefined },
      stderr: { write: () => undefined },
      on: () => undefined,
      off: () => undefined,
      exit: () => undefined,
    };
    const env = {
      SEVER_URL: plane.url,
      SEVER_ENROLMENT_KEY: plane.key,
      SEVER_SIDECAR_PORT: '0',
      SEVER_SIDECAR_NAME: name,
      SEVER_DATA_DIR: createRunFolder('drilled'),
    };
    const started = await runSidecar(env, {}, io);
    sidecars.push(started);
    return started;
  };
  const front = async (...how: Parameters<typeof startFront>): Promise<Front> => {
    const started = await startFront(...how);
    fronts.push(started);
    return started;
  };
  const drill = async (via: readonly { url: string }[], ...more: string[]) => {
    const argv = [
      '--json',
      'drill',
      '--bound',
      '10s',
      ...more,
      '--via',
      ...via.map(({ url }) => url),
    ];
    const { code, out } = await sever(plane, argv);
    return { code, result: JSON.parse(out) as DrillResult };
  };

  beforeAll(async () => {
    plane = await startTestControlPlane();
    await sidecar('west');
    await sidecar('east');
  }, 120_000);
  afterAll(async () => {
    for (const one of [...fronts, ...sidecars]) await one.close();
    await plane.close();
  });

  const survivors = async () =>
    (await plane.client.listAgents({ initiator: 'sever-drill', limit: 500 })).items.map(
      ({ name, state }) => `${name.replaceAll(/[\s0-9T-]+/g, ' ').trim()}: ${state}`,
    );

  it('passes with two sidecars that refuse, with times as seen from outside, and cleans up', async () => {
    const { code, out } = await sever(plane, ['drill', '--via', ...sidecars.map(({ url }) => url)]);
    expect(out.split('\n')[0]).toMatch(
      /^Drill passed: all 2 enforcement points refused within .*, and the survivor was admitted throughout\.$/,
    );
    expect(code).toBe(0);
    expect(out).toMatch(/│ west \(http.* │ refused +│ \d.* m?s +│ .* │ enforced │ agent_revoked │/);
    expect((await survivors()).sort()).toEqual([
      'drill child: killed',
      'drill survivor child: completed',
      'drill survivor: completed',
      'drill: killed',
    ]);
  });

  it('tells it all as JSON', async () => {
    const { code, result } = await drill(sidecars);
    expect(code).toBe(0);
    expect(result).toMatchObject({
      passed: true,
      control_plane_refuses: true,
      kill: { state: 'contained' },
      enforcement_points: [
        { name: 'west', verdict: 'refused', receipt: 'enforced', survivor: null },
        { name: 'east', verdict: 'refused', receipt: 'enforced', survivor: null },
      ],
    });
    for (const point of result.enforcement_points)
      expect(point.refused_after_sent_ms).toBeGreaterThan(0);
  });

  it('catches one that confirmed the kill and admits on, names it, and leaves the honest ones alone', async () => {
    const [west, east] = sidecars as [RunningSidecar, RunningSidecar];
    const liar = await front(west.url, () => ALLOW);
    const { code, out } = await sever(plane, [
      ...['drill', '--bound', '10s'],
      '--bound',
      '5s',
      '--via',
      liar.url,
      east.url,
    ]);
    expect(code).toBe(4);
    expect(out.split('\n')[0]).toBe(
      'DRILL FAILED: 1 of 2 enforcement points refused within 5.0 s.',
    );
    expect(out).toContain(
      `QUARANTINE west (${liar.url}): it signed a receipt for the kill and still admits the dead.`,
    );
    expect(out).not.toContain('QUARANTINE east');
    // Without --quarantine nothing was done to it.
    expect((await drill([west, east])).code).toBe(0);
  });

  it('does not take one refusal for an end: one that admits again afterwards is caught', async () => {
    let refusals = 0;
    const flaky = await front((sidecars[0] as RunningSidecar).url, (honest) => {
      if (honest.status === 200) return honest;
      refusals += 1;
      return refusals <= 6 ? honest : ALLOW;
    });
    const { code, result } = await drill([flaky], '--bound', '5s');
    expect([code, result.enforcement_points[0]?.verdict]).toEqual([4, 'lying']);
  });

  it('fails when the survivor is refused as well, although all of the dead are', async () => {
    let killed = false;
    const eager = await front((sidecars[0] as RunningSidecar).url, (honest) => {
      killed ||= honest.status === 403;
      return killed ? DENY : honest;
    });
    const { code, result } = await drill([eager]);
    expect(code).toBe(1);
    expect(result.enforcement_points[0]).toMatchObject({
      verdict: 'refused',
      survivor: 'agent_revoked',
    });
  });

  it('kills nothing when nobody admits the canaries in the first place', async () => {
    const gone = await front((sidecars[0] as RunningSidecar).url, () => DENY);
    const before = (await plane.client.listKills()).items.length;
    const { code, result } = await drill([gone]);
    expect([code, result.kill, result.enforcement_points[0]?.verdict]).toEqual([
      1,
      null,
      'unheard',
    ]);
    expect((await plane.client.listKills()).items).toHaveLength(before);
    expect((await survivors()).filter((one) => one.endsWith('active'))).toEqual([]);
  });

  it('kills the liar with --quarantine, and no other', async () => {
    const [west, east] = sidecars as [RunningSidecar, RunningSidecar];
    const liar = await front(west.url, () => ALLOW);
    const { code, result } = await drill([liar, east], '--bound', '5s', '--quarantine');
    expect(code).toBe(4);
    const [lied, honest] = result.enforcement_points;
    expect(honest).toMatchObject({ verdict: 'refused', quarantined_by: null });
    const kill = await plane.client.getKill(lied?.quarantined_by as string);
    expect(kill).toMatchObject({
      action: 'kill',
      subject: { kind: 'enforcement_point', id: lied?.id },
      reason: expect.stringContaining('it confirmed a kill and went on admitting') as string,
    });
    expect((await drill([east])).code).toBe(0);
  });
});
