import { randomBytes, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { SeverClient } from '@sever/cli';
import { EnforcementPoint } from '@sever/enforcement';
import type { SpawnReply } from '@sever/protocol';
import type { TestBroker } from '../support/broker';
import { eventually } from '../support/eventually';
import { createRunFolder } from '../support/run-folder';
import type { Call } from './api';
import { PlaneProcess } from './plane-process';
import { Truth } from './truth';

export interface WorldOptions {
  readonly broker: TestBroker;
  /** As the control plane reaches the database, and as the oracle does. */
  readonly databaseUrl: string;
  readonly truthUrl: string;
}

/** A control plane that will die, an enforcement point that lives through it, and the database as the judge. */
export class World {
  /** Every token that was ever handed out. */
  readonly tokens: string[] = [];
  private points = 0;

  private constructor(
    readonly plane: PlaneProcess,
    readonly key: string,
    /** Of a lead who orders no kills, and so may reinstate. */
    readonly lead: string,
    readonly truth: Truth,
    readonly point: EnforcementPoint,
    private readonly folder: string,
  ) {}

  static async create({ broker, databaseUrl, truthUrl }: WorldOptions): Promise<World> {
    const folder = createRunFolder('sweep');
    const key = `sk_${randomBytes(32).toString('base64url')}`;
    const plane = await PlaneProcess.start(folder, {
      SEVER_DATABASE_URL: databaseUrl,
      SEVER_NATS_URL: broker.url,
      SEVER_NATS_CREDS: broker.credsFile,
      SEVER_NATS_ACCOUNT_SEED_FILE: broker.accountSeedFile,
      SEVER_MASTER_KEY: randomBytes(32).toString('base64url'),
      SEVER_BOOTSTRAP_KEY: key,
      SEVER_SAMPLE: '0',
    });
    const client = new SeverClient({ url: plane.url, key });
    const lead = (await client.createApiKey({ role: 'lead', name: 'second lead' })).key;
    const point = await connect(plane, key, folder, 'survivor');
    return new World(plane, key, lead, new Truth(truthUrl), point, folder);
  }

  get client(): SeverClient {
    return new SeverClient({ url: this.plane.url, key: this.key });
  }

  async root(name: string): Promise<SpawnReply> {
    return this.noted(await this.client.spawn({ name, initiator: { subject: 'alice' } }));
  }

  async child(parent: SpawnReply): Promise<SpawnReply> {
    return this.noted(await this.client.as(parent.credential.token).spawn({ name: 'child' }));
  }

  /** An order to stop agents, under a key of its own. */
  order(reason: string, agents: readonly SpawnReply[], more: object = {}): Call {
    const subjects = agents.map(({ agent }) => ({ kind: 'agent', id: agent.id }));
    return {
      ...{ path: '/v1/kills?wait=1s', key: this.key, idempotencyKey: randomUUID() },
      body: { subjects, reason, ...more },
    };
  }

  /** Until the enforcement point decides every token as the database does. */
  async agrees(point = this.point): Promise<void> {
    await eventually(
      async () => {
        const differences = await this.truth.differences(point, this.tokens);
        if (differences.length > 0) throw new Error(differences.join('\n'));
      },
      { timeoutMs: 40_000, everyMs: 100 },
    );
  }

  /** One that starts now sees what the one that lived through everything sees. */
  async newcomerAgrees(): Promise<void> {
    this.points += 1;
    const point = await connect(this.plane, this.key, this.folder, `newcomer-${this.points}`);
    try {
      await this.agrees(point);
    } finally {
      await point.close();
    }
  }

  async close(): Promise<void> {
    await this.point.close();
    await this.plane.kill();
    await this.truth.close();
  }

  private noted(reply: SpawnReply): SpawnReply {
    this.tokens.push(reply.credential.token);
    return reply;
  }
}

function connect(
  plane: PlaneProcess,
  key: string,
  folder: string,
  name: string,
): Promise<EnforcementPoint> {
  return EnforcementPoint.connect({
    ...{ url: plane.url, enrolmentKey: key, name, timeoutMs: 60_000 },
    keyDirectory: join(folder, name),
  });
}
