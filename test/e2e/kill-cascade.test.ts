import { Sidecar } from '@sever/sidecar';
import { spawnFamily, spawnNeighbours, type Member } from '../../src/demo/family';
import { LivingAgent } from '../../src/demo/living-agent';
import { Processes } from '../../src/demo/processes';
import { startTestControlPlane, type TestControlPlane } from '../support/control-plane';
import { connectPoint } from '../support/enforcement-point';
import { eventually } from '../support/eventually';
import { startEverything } from '../support/tool-server';

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** The main job: real MCP clients behind real sidecars, one kill, and what must survive it. */
describe('killing an orchestrator', () => {
  const processes = new Processes();
  const sidecars: Sidecar[] = [];
  const agents: LivingAgent[] = [];
  let plane: TestControlPlane;
  let urls: string[];

  beforeAll(async () => {
    plane = await startTestControlPlane();
    const tools = await startEverything(processes);
    for (const mode of ['strict', 'best_effort'] as const)
      sidecars.push(
        await Sidecar.listen(
          {
            host: '127.0.0.1',
            port: 0,
            upstreams: [{ name: 'everything', kind: 'mcp', url: tools }],
          },
          { enforcer: await connectPoint(plane, mode, { mode, abort: 'stream' }), logger: quiet },
        ),
      );
    urls = sidecars.map(({ url }) => `${url}/everything`);
  });

  afterAll(async () => {
    await Promise.all(agents.map((agent) => agent.stop()));
    await Promise.all(sidecars.map((sidecar) => sidecar.close()));
    await processes.stopAll();
    await plane.close();
  });

  const live = async (members: Member[], inLongCall?: string): Promise<LivingAgent[]> => {
    const alive = members.map(
      ({ name, spawned }, at) =>
        new LivingAgent({
          name,
          token: spawned.credential.token,
          url: urls[at % 2] as string,
          long: name === inLongCall,
        }),
    );
    agents.push(...alive);
    await Promise.all(alive.map((agent) => agent.start()));
    await eventually(() => expect(alive.every(({ calls }) => calls > 0)).toBe(true), {
      timeoutMs: 10_000,
    });
    return alive;
  };

  it('refuses the whole tree at every sidecar, cuts what is in flight, and leaves another tree alone', async () => {
    const family = await spawnFamily(plane.client, 'alice@example.com');
    const [killed, spared] = [
      await live(family, 'crawler'),
      await live(await spawnNeighbours(plane.client, 'bob@example.com')),
    ];
    const orchestrator = (family[0] as Member).spawned;
    const reply = await plane.call('POST', `/v1/agents/${orchestrator.agent.id}/kill?wait=10s`, {
      body: { reason: 'it deletes things' },
    });
    const sparedCalls = spared.map(({ calls }) => calls);

    expect(reply.status).toBe(200);
    expect(reply.body).toMatchObject({
      state: 'contained',
      summary: 'Stopped at all 2 enforcement points.',
      containment: { required: 2, enforced: 2, dark: 0, pending: [], nack: [], unknown: [] },
    });
    await eventually(() => {
      for (const agent of killed) {
        expect([agent.name, agent.unexpected]).toEqual([agent.name, undefined]);
        expect(agent.refusal).toMatchObject({ code: 'agent_revoked', killId: reply.body.id });
      }
    });
    for (const { spawned } of family) {
      const own = plane.client.as(spawned.credential.token);
      await expect(own.spawn({ name: 'too late' })).rejects.toMatchObject({
        problem: { code: 'ancestor_revoked' },
      });
      await expect(own.mint(spawned.agent.id)).rejects.toMatchObject({
        problem: { code: 'ancestor_revoked' },
      });
    }
    const receipts = (await plane.client.receipts(reply.body.id as string)).items;
    expect(receipts.map(({ status }) => status)).toEqual(['enforced', 'enforced']);
    expect(receipts.every(({ latency_ms }) => latency_ms !== null && latency_ms >= 0)).toBe(true);
    expect(
      receipts.reduce((sum, { in_flight }) => sum + (in_flight?.aborted ?? 0), 0),
    ).toBeGreaterThanOrEqual(1);
    await eventually(() => {
      for (const [at, agent] of spared.entries()) {
        expect([agent.refusal, agent.unexpected]).toEqual([undefined, undefined]);
        expect(agent.calls).toBeGreaterThan((sparedCalls[at] as number) + 5);
      }
    });
  }, 60_000);

  it('cuts the living descendants of an agent that has completed, and not its parent', async () => {
    const family = await spawnFamily(plane.client, 'carol@example.com');
    const byName = new Map(family.map((member) => [member.name, member.spawned]));
    const researcher = byName.get('researcher') as Member['spawned'];
    await plane.client.complete(researcher.agent.id);
    const [crawler, orchestrator] = await live(
      family.filter(({ name }) => name === 'crawler' || name === 'orchestrator').reverse(),
    );
    await plane.client.killAgent(
      researcher.agent.id,
      { reason: 'its children went on' },
      { waitMs: 10_000 },
    );
    await eventually(() => expect(crawler?.refusal?.code).toBe('agent_revoked'));
    const calls = orchestrator?.calls ?? 0;
    await eventually(() => expect(orchestrator?.calls).toBeGreaterThan(calls + 5));
    expect(orchestrator?.refusal).toBeUndefined();
  }, 60_000);

  it('refuses a credential and what was minted with it, and lets the agent go on with another', async () => {
    const [member] = await spawnNeighbours(plane.client, 'dave@example.com');
    const { agent, credential } = (member as Member).spawned;
    const stolen = await plane.client.as(credential.token).mint(agent.id);
    const fresh = await plane.client.mint(agent.id);
    await plane.client.kill(
      { subject: { kind: 'credential', id: stolen.credential.id }, reason: 'leaked' },
      { waitMs: 10_000 },
    );
    const decide = async (token: string): Promise<unknown> => {
      const response = await fetch(`${sidecars[0]?.url}/check`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ token, tool: 'everything/echo' }),
      });
      return await response.json();
    };
    expect(await decide(stolen.credential.token)).toMatchObject({
      decision: 'deny',
      code: 'agent_revoked',
    });
    expect(await decide(credential.token)).toMatchObject({
      decision: 'deny',
      code: 'agent_revoked',
    });
    expect(await decide(fresh.credential.token)).toEqual({ decision: 'allow', stale: false });
  });
});
