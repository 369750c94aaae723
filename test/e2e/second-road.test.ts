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
  /** What brings the broker back. */
  let mend: (() => void | Promise<void>) | null = null;

  beforeAll(async () => {
    plane = await startTestControlPlane();
    const admin = new Client({ connectionString: plane.database.url });
    await admin.connect();
    await admin.query(
      `UPDATE tenant SET lease_valid_ms = $1, lease_valid_ms_before = $1, lease_changed_at = now() - interval '1 hour'`,
      [LEASE_MS],
    );
    await admin.end();
  }, 120_000);
  afterAll(() => plane.close());

  beforeEach(() => {
    points = [];
  });
  afterEach(async () => {
    await Promise.all(points.map((point) => point.close()));
    await mendBroker();
    await eventually(
      async () => expect((await plane.call('GET', '/readyz')).body).toMatchObject({ broker: true }),
      { timeoutMs: 20_000 },
    );
  }, 60_000);

  const breakBroker = async (how: 'killed' | 'frozen'): Promise<void> => {
    if (how === 'killed') await plane.broker.kill();
    else plane.broker.freeze();
    mend = how === 'killed' ? () => plane.broker.restart() : () => plane.broker.thaw();
  };

  const mendBroker = async (): Promise<void> => {
    await mend?.();
    mend = null;
  };

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

  /**
   * Waits until every lease from before has run out, and then for each of them to admit: on the strength of a lease that
   * came since. A busy machine may make one late, so what is asked for is that it comes.
   */
  const outliveLeases = async (admitted: readonly EnforcementPoint[], agent: SpawnReply) => {
    await delay(2 * LEASE_MS);
    for (const point of admitted)
      await eventually(async () => expect(await decide(point, agent)).toBe('allow'));
  };

  const kill = (agent: SpawnReply, waitMs: number): Promise<Kill> =>
    plane.client.killAgent(agent.agent.id, { reason: 'x' }, { waitMs });

  it('carries an enforcement point that lives on HTTP alone: it stays fresh, and a kill is contained', async () => {
    await breakBroker('killed');
    const point = await connect('web', 'http');
    expect(point.roads()).toEqual(['http']);
    const [doomed, survivor] = [await root('doomed'), await root('survivor')];
    expect(await decide(point, doomed)).toBe('allow');
    await outliveLeases([point], survivor);

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
      await eventually(() =>
        expect([strict.roads(), bestEffort.roads()]).toEqual([['nats'], ['nats']]),
      );
      const [doomed, second, survivor] = [
        await root('doomed'),
        await root('second'),
        await root('survivor'),
      ];
      expect(await decide(strict, doomed)).toBe('allow');

      await breakBroker(how);
      await outliveLeases([strict, bestEffort], survivor);
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

      await mendBroker();
      await eventually(
        () => expect([strict.roads(), bestEffort.roads()]).toEqual([['nats'], ['nats']]),
        { timeoutMs: 20_000 },
      );
      await outliveLeases([strict, bestEffort], survivor);
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
    await breakBroker('killed');
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
  }, 60_000);

  it('is enough to start on when the broker cannot be reached, and the broker is taken as soon as it can', async () => {
    await breakBroker('killed');
    const point = await connect('late', 'auto');
    expect(point.roads()).toEqual(['http']);
    const [doomed, survivor] = [await root('doomed'), await root('survivor')];
    expect((await kill(doomed, 20_000)).state).toBe('contained');
    expect(await decide(point, doomed)).toBe('agent_revoked');
    await mendBroker();
    await eventually(() => expect(point.roads()).toEqual(['nats']), { timeoutMs: 20_000 });
    expect(await decide(point, survivor)).toBe('allow');
    expect(await decide(point, doomed)).toBe('agent_revoked');
  }, 60_000);

  it('tells an enforcement point that it is revoked itself, and takes its receipt for that', async () => {
    const [revoked, other] = [await connect('revoked', 'http'), await connect('other', 'http')];
    const agent = await root('agent');
    expect(await decide(revoked, agent)).toBe('allow');
    const { id } = revoked.state();
    const reply = await plane.call('DELETE', `/v1/enforcement-points/${id}`);
    await eventually(
      async () =>
        expect(await plane.client.getKill(reply.body.id as string)).toMatchObject({
          ...{ action: 'kill', state: 'contained' },
          containment: { enforced: 2 },
        }),
      { timeoutMs: 20_000 },
    );
    await eventually(() => expect(revoked.state().darkBecause).toMatch(/revoked/));
    expect(await decide(revoked, agent)).toBe('enforcement_stale');
    expect(await decide(other, agent)).toBe('allow');
  }, 60_000);
});
