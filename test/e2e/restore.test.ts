import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { SeverClient } from '@sever/cli';
import { EnforcementPoint } from '@sever/enforcement';
import type { EpochInfo, SpawnReply } from '@sever/protocol';
import { loadConfig } from '../../src/config/config';
import { startControlPlane, type ControlPlane } from '../../src/control-plane';
import { freePort } from '../../src/demo/processes';
import { startPostgres, type EmbeddedPostgres } from '../../src/embedded/postgres';
import { startTestBroker, type TestBroker } from '../support/broker';
import { eventually } from '../support/eventually';
import { createRunFolder } from '../support/run-folder';

jest.setTimeout(240_000);

const SLOW = { timeoutMs: 60_000, everyMs: 100 };

/** A real cluster, whose files are copied while it is stopped and put back later. */
class Cluster {
  private constructor(
    private readonly dataDir: string,
    private server: EmbeddedPostgres,
  ) {}

  static async start(): Promise<Cluster> {
    const dataDir = createRunFolder('e2e-restore-database');
    const options = { dataDir, durable: false, log: () => undefined };
    return new Cluster(dataDir, await startPostgres(options));
  }

  get url(): string {
    return this.server.url;
  }

  async backUp(): Promise<void> {
    await this.whileStopped(() => this.copy('postgres', 'copy'));
  }

  async restore(): Promise<void> {
    await this.whileStopped(() => {
      rmSync(join(this.dataDir, 'postgres'), { recursive: true });
      this.copy('copy', 'postgres');
    });
  }

  stop(): Promise<void> {
    return this.server.server.stop();
  }

  private copy(from: string, to: string): void {
    execFileSync('cp', ['-a', join(this.dataDir, from), join(this.dataDir, to)]);
  }

  private async whileStopped(work: () => void): Promise<void> {
    const { port } = this.server;
    await this.server.server.stop();
    work();
    const options = { dataDir: this.dataDir, durable: false, log: () => undefined };
    this.server = await startPostgres({ ...options, port });
    if (this.server.port !== port) throw new Error('the port was taken meanwhile');
  }
}

describe('a database restored from a copy of its files', () => {
  const key = `sk_${randomBytes(32).toString('base64url')}`;
  let cluster: Cluster;
  let broker: TestBroker;
  let environment: Record<string, string>;
  let plane: ControlPlane;
  let points: EnforcementPoint[];
  let client: SeverClient;
  let doomed: SpawnReply;
  let neighbour: SpawnReply;

  beforeEach(async () => {
    [cluster, broker] = await Promise.all([Cluster.start(), startTestBroker()]);
    environment = {
      SEVER_ENV: 'test',
      SEVER_PORT: String(await freePort()),
      SEVER_DATA_DIR: createRunFolder('e2e-restore'),
      SEVER_DATABASE_URL: cluster.url,
      SEVER_NATS_URL: broker.url,
      SEVER_NATS_CREDS: broker.credsFile,
      SEVER_NATS_ACCOUNT_SEED_FILE: broker.accountSeedFile,
      SEVER_MASTER_KEY: randomBytes(32).toString('base64url'),
      SEVER_BOOTSTRAP_KEY: key,
      SEVER_LOG_LEVEL: 'silent',
    };
    plane = await startControlPlane(loadConfig(environment));
    client = new SeverClient({ url: plane.url, key });
    points = await Promise.all(['one', 'two'].map(connect));
    [doomed, neighbour] = [await root('doomed'), await root('neighbour')];
  });
  afterEach(async () => {
    for (const point of points) await point.close();
    await plane.close();
    await broker.stop();
    await cluster.stop();
  });

  const connect = (name: string): Promise<EnforcementPoint> =>
    EnforcementPoint.connect({
      ...{ url: plane.url, enrolmentKey: key, name },
      keyDirectory: join(createRunFolder('e2e-restore-point'), name),
    });
  const root = (name: string): Promise<SpawnReply> =>
    client.spawn({ name, initiator: { subject: 'alice' }, scopes: ['tool:*'] });
  const restart = async (more: Record<string, string> = {}): Promise<void> => {
    await plane.close();
    await cluster.restore();
    plane = await startControlPlane(loadConfig({ ...environment, ...more }));
  };
  /** A kill that the database takes: it has just been started again, and orders do not wait for it. */
  const killDoomed = async () => {
    await eventually(async () => {
      const spare = await root('spare');
      const kill = await client.killAgent(spare.agent.id, { reason: 'x' }, { waitMs: 5_000 });
      expect(kill.state).toBe('contained');
    }, SLOW);
    return client.killAgent(doomed.agent.id, { reason: 'x' }, { waitMs: 10_000 });
  };
  const epochs = async (): Promise<EpochInfo[]> => {
    const response = await fetch(`${plane.url}/v1/epochs`, {
      headers: { authorization: `Bearer ${key}` },
    });
    expect(response.status).toBe(200);
    return ((await response.json()) as { items: EpochInfo[] }).items;
  };
  const mint = async (): Promise<number> => {
    const response = await fetch(`${plane.url}/v1/agents/${doomed.agent.id}/credentials`, {
      method: 'POST',
      headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
      body: '{}',
    });
    return response.status;
  };
  const decide = async (point: EnforcementPoint, { credential }: SpawnReply): Promise<string> => {
    const decision = await point.check(credential.token, { tool: 'x/y' });
    return decision.decision === 'allow' ? 'allow' : decision.code;
  };

  /** Asks all the time, as an agent would that nobody has told to give up. */
  function probe(): { stop(): Promise<{ dead: Set<string>; alive: Set<string> }> } {
    const seen = { dead: new Set<string>(), alive: new Set<string>() };
    let asking = true;
    const asked = (async () => {
      while (asking) {
        for (const point of points) {
          seen.dead.add(await decide(point, doomed));
          seen.alive.add(await decide(point, neighbour));
        }
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    })();
    return {
      stop: async () => {
        asking = false;
        await asked;
        return seen;
      },
    };
  }

  async function everybodyIsInEpoch(epoch: number): Promise<void> {
    await eventually(async () => {
      for (const point of points) {
        expect(point.state()).toMatchObject({ epoch, darkBecause: null });
        expect(await decide(point, neighbour)).toBe('allow');
        expect(await decide(point, doomed)).toBe('agent_revoked');
      }
    }, SLOW);
  }

  it('is in a new epoch before it is served, and a kill that it lost is there again under its id', async () => {
    await cluster.backUp();
    const kill = await killDoomed();
    expect(kill.state).toBe('contained');
    const probing = probe();

    await restart();
    const [opened] = await epochs();

    expect(opened).toMatchObject({ epoch: 2, because: 'published', former_head: '1.0' });
    await eventually(
      async () =>
        expect(await epochs()).toMatchObject([
          { restored: expect.arrayContaining([kill.id]) as string[], lost: [] },
        ]),
      SLOW,
    );
    expect(await client.getKill(kill.id)).toMatchObject({
      id: kill.id,
      reason: 'restored from signed evidence',
      created_by: { kind: 'restored' },
      subject: { kind: 'agent', id: doomed.agent.id },
    });
    expect(await mint()).toBe(409);
    await everybodyIsInEpoch(2);
    const seen = await probing.stop();
    expect([...seen.dead]).toEqual(['agent_revoked']);
    expect([...seen.alive]).not.toContain('agent_revoked');
  });

  it('lists as lost what no enforcement point has kept', async () => {
    await cluster.backUp();
    await killDoomed();
    for (const point of points.splice(0)) await point.close();

    await restart();

    expect(await epochs()).toMatchObject([
      { epoch: 2, restored: [], lost: [{ from: '1.1', to: expect.any(String) as string }] },
    ]);
  });

  it('is noticed by a control plane that it is put under, and by another replica', async () => {
    const second = await startControlPlane(
      loadConfig({
        ...environment,
        SEVER_PORT: '0',
        SEVER_DATA_DIR: createRunFolder('e2e-restore'),
      }),
    );
    try {
      await cluster.backUp();
      const kill = await killDoomed();
      const probing = probe();

      await cluster.restore();

      await eventually(
        async () =>
          expect(await epochs()).toMatchObject([
            { restored: expect.arrayContaining([kill.id]) as string[], lost: [] },
          ]),
        SLOW,
      );
      await everybodyIsInEpoch(2);
      expect(await mint()).toBe(409);
      const seen = await probing.stop();
      expect([...seen.dead]).toEqual(['agent_revoked']);
      expect([...seen.alive]).not.toContain('agent_revoked');
      const other = new SeverClient({ url: second.url, key });
      expect((await other.getKill(kill.id)).stream_token).toMatch(/^2\./);
    } finally {
      await second.close();
    }
  });

  it('gives a killed agent new credentials when nobody notices: the negative control', async () => {
    await cluster.backUp();
    await killDoomed();
    for (const point of points.splice(0)) await point.close();

    await restart({ SEVER_CONTINUITY: 'off' });

    expect(await epochs()).toEqual([]);
    expect(await mint()).toBe(201);
    expect(
      await client.killAgent(neighbour.agent.id, { reason: 'x' }, { waitMs: 0 }),
    ).toMatchObject({ stream_token: '1.1' });
  });
});
