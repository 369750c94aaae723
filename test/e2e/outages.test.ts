import type { EnforcementPoint } from '@sever/enforcement';
import type { Kill, SpawnReply } from '@sever/protocol';
import { Client } from 'pg';
import { loadConfig } from '../../src/config/config';
import { startControlPlane, type ControlPlane } from '../../src/control-plane';
import { startTestControlPlane, type Reply, type TestControlPlane } from '../support/control-plane';
import { connectPoint } from '../support/enforcement-point';
import { eventually } from '../support/eventually';
import { startTestPostgres, type TestPostgres } from '../support/postgres';

/**
 * The table in docs/operations/outages.md, cell by cell. It speaks of 10 s, 60 s and 10 min under the usual lease of 10 s: one
 * lease, six, sixty. Here the lease is 2 s and time runs five times as fast; `SEVER_OUTAGES=all` runs the longest ones too.
 */
const LEASE_MS = 2_000;
const OUTAGES = [
  { called: '10 s', leases: 1 },
  { called: '60 s', leases: 6 },
  ...(process.env.SEVER_OUTAGES === 'all' ? [{ called: '10 min', leases: 60 }] : []),
];
/** A lease, what is left of it at most when the outage begins, and its margin. */
const DARK_AFTER_MS = LEASE_MS * 1.1 + 1_000;
const LIMIT_MS = 300_000;

describe('what stops, and what goes on, while something is gone', () => {
  let postgres: TestPostgres;
  let plane: TestControlPlane;
  let replica: ControlPlane;
  let port: string;
  const points: Record<'strict' | 'bestEffort' | 'brokerOnly', EnforcementPoint> = {} as never;

  const say = async (point: EnforcementPoint, of: SpawnReply): Promise<string> => {
    const decision = await point.check(of.credential.token);
    if (decision.decision === 'deny') return decision.code;
    return decision.stale ? 'stale' : 'allow';
  };
  const root = (): Promise<SpawnReply> =>
    plane.client.spawn({ name: 'root', initiator: { subject: 'alice@example.com' } });
  const post = (path: string, body: object): Promise<Reply> => plane.call('POST', path, { body });
  const spawning = async (): Promise<number> =>
    post('/v1/agents', { name: 'during', initiator: { subject: 'alice@example.com' } }).then(
      ({ status }) => status,
      () => 0,
    );
  const everybody = (of: SpawnReply): Promise<string[]> =>
    Promise.all(Object.values(points).map((point) => say(point, of)));
  const admitted = (of: SpawnReply) =>
    eventually(async () => expect(await everybody(of)).toEqual(['allow', 'allow', 'allow']), {
      timeoutMs: 60_000,
    });
  const contained = (id: string): Promise<Kill> =>
    eventually(
      async () => {
        const kill = await plane.client.getKill(id);
        expect(kill.state).toBe('contained');
        return kill;
      },
      { timeoutMs: 60_000 },
    );
  const pass = (leases: number) => new Promise((resolve) => setTimeout(resolve, leases * LEASE_MS));
  const open = async (): Promise<void> => {
    replica = await startControlPlane(loadConfig({ ...plane.environment, SEVER_PORT: port }));
  };

  beforeAll(async () => {
    postgres = await startTestPostgres();
    plane = await startTestControlPlane({ SEVER_DATABASE_URL: postgres.url });
    port = new URL(plane.url).port;
    replica = plane.plane;
    const admin = new Client({ connectionString: postgres.url });
    await admin.connect();
    await admin.query(
      `UPDATE tenant SET lease_valid_ms = $1, lease_valid_ms_before = $1, lease_changed_at = now() - interval '1 hour'`,
      [LEASE_MS],
    );
    await admin.end();
    points.strict = await connectPoint(plane, 'strict', { mode: 'strict' });
    points.bestEffort = await connectPoint(plane, 'best-effort', { mode: 'best_effort' });
    points.brokerOnly = await connectPoint(plane, 'broker-only', {
      mode: 'strict',
      transport: 'nats',
    });
  }, 180_000);
  afterAll(async () => {
    await postgres.heal();
    await Promise.all(Object.values(points).map((point) => point.close()));
    await replica.close();
    await plane.broker.stop();
    await plane.database.drop();
    await postgres.stop();
  }, 120_000);

  it.each(OUTAGES)(
    'Postgres for $called: kills by the emergency road, nothing issued, strict ones dark after their lease',
    async ({ leases }) => {
      const [before, during, survivor] = [await root(), await root(), await root()];
      await admitted(survivor);
      const { id: past } = await plane.client.killAgent(before.agent.id, { reason: 'x' });
      await contained(past);
      await postgres.kill();
      const order = await post(`/v1/agents/${during.agent.id}/kill`, { reason: 'x' });
      expect([order.status, order.body.state]).toEqual([202, 'emergency']);
      const dead = /^(agent_revoked|enforcement_stale)$/;
      await eventually(async () => {
        for (const said of await everybody(during)) expect(said).toMatch(dead);
      });
      expect(await say(points.bestEffort, during)).toBe('agent_revoked');
      await pass(leases);
      expect(await spawning()).toBe(503);
      if (leases * LEASE_MS > DARK_AFTER_MS)
        expect(await everybody(survivor)).toEqual([
          'enforcement_stale',
          'stale',
          'enforcement_stale',
        ]);
      for (const said of await everybody(before)) expect(said).toBe('agent_revoked');
      await postgres.restart();
      await admitted(survivor);
      await contained(String(order.body.id));
      expect(await everybody(during)).toEqual(['agent_revoked', 'agent_revoked', 'agent_revoked']);
    },
    LIMIT_MS,
  );

  it.each(OUTAGES)(
    'NATS for $called: everything goes on over the second road, who has only the broker goes dark',
    async ({ leases }) => {
      const [before, during, survivor] = [await root(), await root(), await root()];
      await admitted(survivor);
      await contained((await plane.client.killAgent(before.agent.id, { reason: 'x' })).id);
      await plane.broker.kill();
      const kill = await eventually(
        () => plane.client.killAgent(during.agent.id, { reason: 'x' }, { waitMs: 0 }),
        { timeoutMs: 30_000 },
      );
      await eventually(async () => expect(await say(points.strict, during)).toBe('agent_revoked'), {
        timeoutMs: 30_000,
      });
      await pass(leases);
      expect(await spawning()).toBe(201);
      await eventually(async () => {
        expect(await say(points.strict, survivor)).toBe('allow');
        expect(await say(points.bestEffort, survivor)).toBe('allow');
      });
      if (leases * LEASE_MS > DARK_AFTER_MS) {
        expect(await say(points.brokerOnly, survivor)).toBe('enforcement_stale');
        // Two by their receipts over HTTP, the third because its lease has provably run out.
        expect((await contained(kill.id)).containment).toMatchObject({ enforced: 2, dark: 1 });
      }
      for (const said of await everybody(before)) expect(said).toBe('agent_revoked');
      await plane.broker.restart();
      await admitted(survivor);
      await contained(kill.id);
      expect(await everybody(during)).toEqual(['agent_revoked', 'agent_revoked', 'agent_revoked']);
    },
    LIMIT_MS,
  );

  it.each(OUTAGES)(
    'every replica for $called: nothing is issued or ordered, strict ones are dark after their lease, the dead stay dead',
    async ({ leases }) => {
      const [before, survivor] = [await root(), await root()];
      await admitted(survivor);
      await contained((await plane.client.killAgent(before.agent.id, { reason: 'x' })).id);
      await replica.close();
      await pass(leases);
      expect(await spawning()).toBe(0);
      if (leases * LEASE_MS > DARK_AFTER_MS)
        expect(await everybody(survivor)).toEqual([
          'enforcement_stale',
          'stale',
          'enforcement_stale',
        ]);
      for (const said of await everybody(before)) expect(said).toBe('agent_revoked');
      await open();
      await admitted(survivor);
      for (const said of await everybody(before)) expect(said).toBe('agent_revoked');
      const after = await root();
      await admitted(after);
      const kill = await plane.client.killAgent(after.agent.id, { reason: 'x' });
      await contained(kill.id);
    },
    LIMIT_MS,
  );
});
