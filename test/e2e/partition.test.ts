import type { EnforcementPoint } from '@sever/enforcement';
import type { SpawnReply } from '@sever/protocol';
import { startTestControlPlane, type TestControlPlane } from '../support/control-plane';
import { connectPoint } from '../support/enforcement-point';
import { eventually } from '../support/eventually';
import { TcpProxy } from '../support/tcp-proxy';
import { Client } from 'pg';

const LEASE_MS = 2_000;

describe('enforcement points that know the broker alone, cut off from it', () => {
  let plane: TestControlPlane;
  let road: TcpProxy;
  let strict: EnforcementPoint;
  let bestEffort: EnforcementPoint;

  beforeEach(async () => {
    // The control plane keeps its own way to the broker; enforcement points are sent over this one.
    plane = await startTestControlPlane(async (broker) => {
      road = await TcpProxy.to(Number(new URL(broker.url).port));
      return { SEVER_NATS_PUBLIC_URLS: `nats://127.0.0.1:${road.port}` };
    });
    const admin = new Client({ connectionString: plane.database.url });
    await admin.connect();
    await admin.query(
      `UPDATE tenant SET lease_valid_ms = $1, lease_valid_ms_before = $1, lease_changed_at = now() - interval '1 hour'`,
      [LEASE_MS],
    );
    await admin.end();
  });

  afterEach(async () => {
    road.heal();
    await Promise.all([strict, bestEffort].map((point) => point?.close()));
    await road.close();
    await plane.close();
  });

  const root = (name: string): Promise<SpawnReply> =>
    plane.client.spawn({ name, initiator: { subject: 'alice' }, scopes: ['tool:*'] });

  const decide = async (point: EnforcementPoint, token: string): Promise<string> => {
    const decision = await point.check(token, { tool: 'x/y' });
    if (decision.decision === 'deny') return decision.code;
    return decision.stale ? 'stale' : 'allow';
  };

  it('deny within the bound when strict, catch up before they admit anything, and never call silence done', async () => {
    strict = await connectPoint(plane, 'strict', { mode: 'strict', transport: 'nats' });
    bestEffort = await connectPoint(plane, 'best-effort', {
      mode: 'best_effort',
      transport: 'nats',
    });
    const [doomed, survivor] = [await root('doomed'), await root('survivor')];
    const [dead, alive] = [doomed.credential.token, survivor.credential.token];
    expect(await decide(strict, dead)).toBe('allow');
    expect(await decide(bestEffort, dead)).toBe('allow');

    road.partition();
    const seen: string[] = [];
    let watching = true;
    const watch = (async () => {
      while (watching) {
        seen.push(await decide(strict, dead));
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    })();
    const committedAt = performance.now();
    const early = await plane.call('POST', `/v1/agents/${doomed.agent.id}/kill?wait=200ms`, {
      body: { reason: 'x' },
    });
    expect(early.status).toBe(202);
    expect(early.body).toMatchObject({
      state: 'committed',
      containment: { required: 2, enforced: 0, dark: 0, enforced_by: expect.any(String) as string },
    });
    const pending = (
      early.body.containment as { pending: { name: string; dark_by: string | null }[] }
    ).pending;
    expect(pending.map(({ name, dark_by }) => [name, dark_by !== null]).sort()).toEqual([
      ['best-effort', false],
      ['strict', true],
    ]);

    // Past the bound the strict one is provably dark; the best-effort one is not, and says that it is stale.
    const late = await eventually(
      async () => {
        const kill = await plane.client.getKill(early.body.id as string);
        expect(kill.containment).toMatchObject({
          enforced: 0,
          dark: 1,
          unknown: [{ name: 'best-effort' }],
        });
        return kill;
      },
      { timeoutMs: 15_000 },
    );
    expect(late.state).toBe('partial');
    expect(late.summary).toContain('best-effort is silent and may still admit calls');
    expect(performance.now() - committedAt).toBeGreaterThan(LEASE_MS);
    expect(await decide(strict, alive)).toBe('enforcement_stale');
    expect(await decide(bestEffort, alive)).toBe('stale');

    road.heal();
    await eventually(async () => expect(await decide(strict, alive)).toBe('allow'), {
      timeoutMs: 20_000,
    });
    await eventually(async () => expect(await decide(bestEffort, alive)).toBe('allow'), {
      timeoutMs: 20_000,
    });
    expect(await decide(strict, dead)).toBe('agent_revoked');
    expect(await decide(bestEffort, dead)).toBe('agent_revoked');
    watching = false;
    await watch;

    // Admitted only while the last lease ran; then stale; then, for ever, revoked.
    const phases = seen.filter((code, at) => code !== seen[at - 1]);
    expect(phases).toEqual(['allow', 'enforcement_stale', 'agent_revoked']);
    await eventually(
      async () => expect((await plane.client.getKill(late.id)).state).toBe('contained'),
      { timeoutMs: 10_000 },
    );
  }, 90_000);

  it('make a kill contained by leaving, because a leaver has signed that it refuses everything', async () => {
    strict = await connectPoint(plane, 'strict', { mode: 'strict', transport: 'nats' });
    bestEffort = await connectPoint(plane, 'leaver', { mode: 'best_effort', transport: 'nats' });
    const doomed = await root('doomed');
    await bestEffort.close();
    const kill = await plane.client.killAgent(doomed.agent.id, { reason: 'x' }, { waitMs: 10_000 });
    expect(kill).toMatchObject({ state: 'contained', containment: { required: 1, enforced: 1 } });
    expect(await decide(bestEffort, doomed.credential.token)).not.toBe('allow');
  }, 60_000);

  it('learn that they were revoked meanwhile, even when nobody else is left to be told anything', async () => {
    bestEffort = await connectPoint(plane, 'last', { mode: 'best_effort', transport: 'nats' });
    const agent = await root('agent');
    expect(await decide(bestEffort, agent.credential.token)).toBe('allow');

    road.partition();
    await eventually(
      async () => expect(await decide(bestEffort, agent.credential.token)).toBe('stale'),
      { timeoutMs: 10_000 },
    );
    const id = bestEffort.state().id;
    expect((await plane.call('DELETE', `/v1/enforcement-points/${id}`)).body.action).toBe('kill');
    road.heal();
    await eventually(() => expect(bestEffort.state().darkBecause).toMatch(/revoked/), {
      timeoutMs: 20_000,
    });
    expect(await decide(bestEffort, agent.credential.token)).toBe('enforcement_stale');
  }, 60_000);
});
