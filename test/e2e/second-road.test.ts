import { setTimeout as delay } from 'node:timers/promises';
import type { EnforcementPoint } from '@sever/enforcement';
import type { Kill, SpawnReply } from '@sever/protocol';
import { Client } from 'pg';
import { startTestControlPlane, type TestControlPlane } from '../support/control-plane';
import { connectPoint } from '../support/enforcement-point';
import { eventually } from '../support/eventually';

const LEASE_MS = 2_000;

describe('the second road', () => {
  let plane: TestControlPlane;
  let points: EnforcementPoint[];

  beforeEach(async () => {
    points = [];
    plane = await startTestControlPlane();
    const admin = new Client({ connectionString: plane.database.url });
    await admin.connect();
    await admin.query(
      `UPDATE tenant SET lease_valid_ms = $1, lease_valid_ms_before = $1, lease_changed_at = now() - interval '1 hour'`,
      [LEASE_MS],
    );
    await admin.end();
  });

  afterEach(async () => {
    plane.broker.thaw();
    await Promise.all(points.map((point) => point.close()));
    await plane.close();
  });

  const connect = async (
    name: string,
    transport: 'auto' | 'nats' | 'http',
    mode: 'strict' | 'best_effort' = 'strict',
  ): Promise<EnforcementPoint> => {
    const point = await connectPoint(plane, name, { transport, mode });
    points.push(point);
    return point;
  };

  const root = (name: string): Promise<SpawnReply> =>
    plane.client.spawn({ name, initiator: { subject: 'alice' }, scopes: ['tool:*'] });

  const decide = async (point: EnforcementPoint, { credential }: SpawnReply): Promise<string> => {
    const decision = await point.check(credential.token, { tool: 'x/y' });
    if (decision.decision === 'deny') return decision.code;
    return decision.stale ? 'stale' : 'allow';
  };

  /** Every decision that it takes for so long. */
  const decisions = async (
    point: EnforcementPoint,
    agent: SpawnReply,
    forMs: number,
  ): Promise<Set<string>> => {
    const seen = new Set<string>();
    for (const end = performance.now() + forMs; performance.now() < end; await delay(5))
      seen.add(await decide(point, agent));
    return seen;
  };

  const kill = (agent: SpawnReply, waitMs: number): Promise<Kill> =>
    plane.client.killAgent(agent.agent.id, { reason: 'x' }, { waitMs });

  it('carries an enforcement point that lives on HTTP alone: it stays fresh, and a kill is contained', async () => {
    await plane.broker.kill();
    const point = await connect('web', 'http');
    expect(point.roads()).toEqual(['http']);
    const [doomed, survivor] = [await root('doomed'), await root('survivor')];
    expect(await decide(point, doomed)).toBe('allow');
    expect(await decisions(point, survivor, 2 * LEASE_MS)).toEqual(new Set(['allow']));

    const killed = await kill(doomed, 20_000);
    expect(killed).toMatchObject({
      state: 'contained',
      containment: { required: 1, enforced: 1, dark: 0 },
    });
    expect(await decide(point, doomed)).toBe('agent_revoked');
    expect(await decide(point, survivor)).toBe('allow');
    const receipts = await plane.client.receipts(killed.id);
    expect(receipts.items).toMatchObject([
      { status: 'enforced', jws: expect.any(String) as string },
    ]);
  }, 60_000);

  it.each(['killed', 'frozen'] as const)(
    'keeps enforcement points fresh while the broker is %s for longer than their leases, and they go back to it',
    async (how) => {
      const [strict, bestEffort] = [
        await connect('strict', 'auto'),
        await connect('best-effort', 'auto', 'best_effort'),
      ];
      expect([strict.roads(), bestEffort.roads()]).toEqual([['nats'], ['nats']]);
      const [doomed, second, survivor] = [
        await root('doomed'),
        await root('second'),
        await root('survivor'),
      ];
      expect(await decide(strict, doomed)).toBe('allow');

      if (how === 'killed') await plane.broker.kill();
      else plane.broker.freeze();
      const fresh = [strict, bestEffort].map((point) => decisions(point, survivor, 3 * LEASE_MS));
      expect(await Promise.all(fresh)).toEqual([new Set(['allow']), new Set(['allow'])]);
      for (const point of [strict, bestEffort]) expect(point.roads()).toContain('http');
      const killed = await kill(doomed, 20_000);
      expect(killed).toMatchObject({
        state: 'contained',
        containment: { required: 2, enforced: 2, dark: 0 },
      });
      for (const point of [strict, bestEffort]) {
        expect(await decide(point, doomed)).toBe('agent_revoked');
        expect(await decide(point, survivor)).toBe('allow');
      }

      if (how === 'killed') await plane.broker.restart();
      else plane.broker.thaw();
      await eventually(
        () => expect([strict.roads(), bestEffort.roads()]).toEqual([['nats'], ['nats']]),
        { timeoutMs: 20_000 },
      );
      expect(await decisions(strict, survivor, LEASE_MS)).toEqual(new Set(['allow']));
      expect((await kill(second, 20_000)).state).toBe('contained');
      expect(await decide(strict, second)).toBe('agent_revoked');
      expect(await decide(strict, doomed)).toBe('agent_revoked');
    },
    90_000,
  );

  it('is what does it: with the broker alone the same kill stays pending until the lease has run out', async () => {
    const point = await connect('nats-only', 'nats');
    const [doomed, survivor] = [await root('doomed'), await root('survivor')];
    expect(await decide(point, doomed)).toBe('allow');
    await plane.broker.kill();
    const killed = await kill(doomed, 500);
    expect(killed).toMatchObject({
      state: 'committed',
      containment: { enforced: 0, dark: 0, pending: [{ name: 'nats-only' }] },
    });
    await eventually(
      async () =>
        expect((await plane.client.getKill(killed.id)).containment).toMatchObject({
          enforced: 0,
          dark: 1,
        }),
      { timeoutMs: 15_000 },
    );
    expect(await decide(point, survivor)).toBe('enforcement_stale');
    await plane.broker.restart();
  }, 60_000);

  it('is enough to start on when the broker cannot be reached, and the broker is taken as soon as it can', async () => {
    await plane.broker.kill();
    const point = await connect('late', 'auto');
    expect(point.roads()).toEqual(['http']);
    const [doomed, survivor] = [await root('doomed'), await root('survivor')];
    expect((await kill(doomed, 20_000)).state).toBe('contained');
    expect(await decide(point, doomed)).toBe('agent_revoked');
    await plane.broker.restart();
    await eventually(() => expect(point.roads()).toEqual(['nats']), { timeoutMs: 20_000 });
    expect(await decide(point, survivor)).toBe('allow');
    expect(await decide(point, doomed)).toBe('agent_revoked');
  }, 60_000);

  it('tells an enforcement point that it is revoked itself, takes its receipt for that, and then nothing more', async () => {
    const [revoked, other] = [await connect('revoked', 'http'), await connect('other', 'http')];
    const agent = await root('agent');
    expect(await decide(revoked, agent)).toBe('allow');
    const { id } = revoked.state();
    const reply = await plane.call('DELETE', `/v1/enforcement-points/${id}?wait=20s`);
    expect(reply.body).toMatchObject({ action: 'kill', state: 'contained' });
    await eventually(() => expect(revoked.state().darkBecause).toMatch(/revoked/));
    expect(await decide(revoked, agent)).toBe('enforcement_stale');
    expect(await decide(other, agent)).toBe('allow');
    await eventually(() => expect(revoked.roads()).toEqual([]), { timeoutMs: 20_000 });
  }, 60_000);
});
