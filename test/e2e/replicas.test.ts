import { randomUUID } from 'node:crypto';
import { SeverClient } from '@sever/cli';
import type { EnforcementPoint } from '@sever/enforcement';
import type { Kill, SpawnReply } from '@sever/protocol';
import { Client } from 'pg';
import { loadConfig } from '../../src/config/config';
import { startControlPlane, type ControlPlane } from '../../src/control-plane';
import { startTestControlPlane, type TestControlPlane } from '../support/control-plane';
import { connectPoint } from '../support/enforcement-point';
import { eventually } from '../support/eventually';
import { createRunFolder } from '../support/run-folder';
import { TcpProxy } from '../support/tcp-proxy';

const LEASE_MS = 2_000;

interface Replica {
  plane: ControlPlane;
  readonly folder: string;
  /** Keeps its port over a restart, as behind a load balancer. */
  readonly port: number;
}

describe('several control planes on one Postgres and one NATS', () => {
  let first: TestControlPlane;
  let road: TcpProxy;
  const replicas: Replica[] = [];
  const points: EnforcementPoint[] = [];

  const start = (folder: string, port: number): Promise<ControlPlane> =>
    startControlPlane(
      loadConfig({ ...first.environment, SEVER_DATA_DIR: folder, SEVER_PORT: String(port) }),
    );
  const clientOf = ({ plane }: Replica) => new SeverClient({ url: plane.url, key: first.key });
  const root = (client: SeverClient, name: string): Promise<SpawnReply> =>
    client.spawn({ name, initiator: { subject: 'alice@example.com' } });
  const codes = (spawned: SpawnReply): Promise<string[]> =>
    Promise.all(
      points.map(async (point) => {
        const decision = await point.check(spawned.credential.token);
        return decision.decision === 'allow' ? 'allow' : decision.code;
      }),
    );

  beforeAll(async () => {
    first = await startTestControlPlane(async (broker) => {
      road = await TcpProxy.to(Number(new URL(broker.url).port));
      return { SEVER_NATS_PUBLIC_URLS: `nats://127.0.0.1:${road.port}` };
    });
    const admin = new Client({ connectionString: first.database.url });
    await admin.connect();
    await admin.query(
      `UPDATE tenant SET lease_valid_ms = $1, lease_valid_ms_before = $1, lease_changed_at = now() - interval '1 hour'`,
      [LEASE_MS],
    );
    await admin.end();
    for (const name of ['second', 'third']) {
      const folder = createRunFolder(`replica-${name}`);
      const plane = await start(folder, 0);
      replicas.push({ plane, folder, port: Number(new URL(plane.url).port) });
    }
    points.push(await connectPoint(first, 'strict', { mode: 'strict', transport: 'nats' }));
  }, 120_000);
  afterAll(async () => {
    road.heal();
    await Promise.all(points.map((point) => point.close()));
    await Promise.all(replicas.map(({ plane }) => plane.close()));
    await road.close();
    await first.close();
  }, 120_000);

  it('take a kill wherever it comes, and each of them can prove it', async () => {
    const clients = [first.client, ...replicas.map(clientOf)];
    for (const [at, client] of clients.entries()) {
      const [victim, twin] = [await root(client, 'victim'), await root(client, 'twin')];
      const taker = clients[(at + 1) % clients.length] as SeverClient;
      const kill = await taker.killAgent(victim.agent.id, { reason: 'x' }, { waitMs: 20_000 });
      expect(kill.state).toBe('contained');
      for (const one of clients)
        expect(await one.getKill(kill.id)).toMatchObject({
          state: 'contained',
          containment: { required: 1, enforced: 1 },
        });
      expect([await codes(victim), await codes(twin)]).toEqual([['agent_revoked'], ['allow']]);
    }
  }, 90_000);

  it('answer one Idempotency-Key with one kill, whichever replicas are asked at once', async () => {
    const clients = [first.client, ...replicas.map(clientOf)];
    const victim = await root(first.client, 'victim');
    const idempotencyKey = randomUUID();
    const kills = await Promise.all(
      [...clients, ...clients].map((client) =>
        client.killAgent(victim.agent.id, { reason: 'x' }, { waitMs: 0, idempotencyKey }),
      ),
    );
    expect(new Set(kills.map(({ id }) => id)).size).toBe(1);
  }, 60_000);

  it('call a silent enforcement point dark only after its bound, each by its own clock', async () => {
    const clients = [first.client, ...replicas.map(clientOf)];
    const victim = await root(first.client, 'victim');
    road.partition();
    const sentAt = performance.now();
    const { id } = await (clients[1] as SeverClient).killAgent(
      victim.agent.id,
      { reason: 'x' },
      { waitMs: 0 },
    );
    const darkAfter = await Promise.all(
      clients.map(async (client) => {
        const kill = await eventually(
          async () => {
            const now = await client.getKill(id);
            expect(now.state).toBe('contained');
            return now;
          },
          { timeoutMs: 60_000 },
        );
        expect(kill.containment).toMatchObject({ enforced: 0, dark: 1 });
        return performance.now() - sentAt;
      }),
    );
    // Lease, a tenth of it, and a second: no clock of any replica may call it dark before.
    for (const ms of darkAfter) expect(ms).toBeGreaterThan(LEASE_MS * 1.1 + 1_000);
    expect(await codes(victim)).not.toContain('allow');
    road.heal();
    const fresh = await root(first.client, 'fresh');
    await eventually(async () => expect(await codes(fresh)).toEqual(['allow']), {
      timeoutMs: 30_000,
    });
    expect(await codes(victim)).toEqual(['agent_revoked']);
  }, 120_000);

  it('lose nothing in a rolling restart under load', async () => {
    let restarting = true;
    const acknowledged: { kill: Kill; victim: SpawnReply }[] = [];
    const twins: SpawnReply[] = [];
    /** As a client with a list of addresses does it: the next one, with the same key, until somebody answers. */
    const somewhere = async <T>(call: (client: SeverClient) => Promise<T>, at: number) => {
      const refusals: string[] = [];
      for (let attempt = 0; ; attempt++)
        try {
          const clients = [first.client, ...replicas.map(clientOf)];
          return await call(clients[(at + attempt) % clients.length] as SeverClient);
        } catch (error) {
          refusals.push(String(error));
          if (attempt > 20) throw new Error(refusals.join('; '), { cause: error });
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
    };
    const load = async (worker: number) => {
      for (let turn = worker; restarting; turn++) {
        const victim = await somewhere((client) => root(client, `victim ${turn}`), turn);
        const twin = await somewhere((client) => root(client, `twin ${turn}`), turn);
        const idempotencyKey = randomUUID();
        const kill = await somewhere(
          (client) =>
            client.killAgent(victim.agent.id, { reason: 'x' }, { waitMs: 0, idempotencyKey }),
          turn + 1,
        );
        acknowledged.push({ kill, victim });
        twins.push(twin);
      }
    };
    const loads = [load(0), load(1)];
    for (const replica of replicas) {
      await replica.plane.close();
      replica.plane = await start(replica.folder, replica.port);
    }
    restarting = false;
    await Promise.all(loads);
    expect(acknowledged.length).toBeGreaterThan(3);
    expect(new Set(acknowledged.map(({ kill }) => kill.id)).size).toBe(acknowledged.length);
    for (const { kill, victim } of acknowledged) {
      await eventually(
        async () => expect((await first.client.getKill(kill.id)).state).toBe('contained'),
        { timeoutMs: 30_000 },
      );
      expect(await codes(victim)).toEqual(['agent_revoked']);
    }
    for (const twin of twins) expect(await codes(twin)).toEqual(['allow']);
  }, 180_000);
});
