import { randomUUID } from 'node:crypto';
import { Client, type QueryResultRow } from 'pg';
import type { EnforcementPoint, ConnectOptions } from '@sever/enforcement';
import type { Kill, Lineage } from '@sever/protocol';
import type { TestBroker } from '../../support/broker';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';
import { connectPoint } from '../../support/enforcement-point';
import { eventually } from '../../support/eventually';
import { ChaosProxy } from '../proxy/chaos-proxy';
import { NatsProxy } from '../proxy/nats-proxy';
import type { Decided } from './points';
import type { Queryable } from './truth';

/** Of enforcement points before a proxied plane: long enough for a machine that does much else, short enough to wait for. */
export const LEASE_MS = 4_000;

const RETRY = { timeoutMs: 30_000, everyMs: 250 };

export interface Issued {
  readonly agent: string;
  readonly id: string;
  readonly token: string;
  readonly lineage: Lineage;
}

/** One control plane in this process, with proxies on both roads of its enforcement points. */
export class ProxiedPlane implements Queryable {
  readonly points: EnforcementPoint[] = [];
  private constructor(
    readonly plane: TestControlPlane,
    /** The way to the broker. */
    readonly brokerRoad: NatsProxy,
    /** The way to the HTTP interface. */
    readonly road: ChaosProxy,
  ) {}

  static async start(): Promise<ProxiedPlane> {
    let brokerRoad: NatsProxy | undefined;
    const plane = await startTestControlPlane(async (broker: TestBroker) => {
      brokerRoad = await NatsProxy.to(Number(new URL(broker.url).port));
      return {
        SEVER_NATS_PUBLIC_URLS: `nats://127.0.0.1:${brokerRoad.port}`,
        SEVER_NATS_OPERATOR_SEED_FILE: broker.operatorSeedFile,
        SEVER_NATS_SYSTEM_CREDS: broker.systemCredsFile,
      };
    });
    const road = await ChaosProxy.to(Number(new URL(plane.url).port));
    const proxied = new ProxiedPlane(plane, brokerRoad as NatsProxy, road);
    await proxied.query(
      `UPDATE tenant SET lease_valid_ms = $1, lease_valid_ms_before = $1,
              lease_changed_at = now() - interval '1 hour'`,
      [LEASE_MS],
    );
    return proxied;
  }

  async point(name: string, options: Partial<ConnectOptions> = {}): Promise<EnforcementPoint> {
    const url = `http://127.0.0.1:${this.road.port}`;
    const point = await connectPoint(this.plane, name, { url, ...options });
    this.points.push(point);
    return point;
  }

  async spawn(name: string): Promise<Issued> {
    const request = { name, initiator: { subject: name }, scopes: ['tool:*'] };
    // A busy machine may answer that the database is late; every client tries again.
    const { agent, credential } = await eventually(() => this.plane.client.spawn(request), RETRY);
    const claims = JSON.parse(
      Buffer.from(credential.token.split('.')[1] ?? '', 'base64url').toString(),
    ) as { lin: Lineage };
    return { agent: agent.id, id: credential.id, token: credential.token, lineage: claims.lin };
  }

  /** One kill, however often it has to be asked for. */
  async kill(agent: string, reason: string): Promise<Kill> {
    const idempotencyKey = randomUUID();
    return await eventually(
      () => this.plane.client.killAgent(agent, { reason }, { waitMs: 0, idempotencyKey }),
      RETRY,
    );
  }

  async connect(): Promise<Client> {
    const client = new Client({ connectionString: this.plane.database.url });
    await client.connect();
    return client;
  }

  async query<T extends QueryResultRow>(text: string, values: unknown[] = []): Promise<T[]> {
    const client = await this.connect();
    try {
      return (await client.query<T>(text, values)).rows;
    } finally {
      await client.end();
    }
  }

  async close(): Promise<void> {
    this.road.heal();
    // All of them, whatever becomes of each: one left open would keep the whole run from ending.
    await Promise.allSettled(this.points.map((point) => point.close()));
    await Promise.allSettled([this.road.close(), this.brokerRoad.close()]);
    await this.plane.close();
  }
}

/** As it decides a tool call: `allow`, `stale`, or why not. */
export async function decide(point: EnforcementPoint, token: string): Promise<string> {
  const { allowed, stale, code } = await decidedBy(point, token);
  if (!allowed) return code ?? 'deny';
  return stale ? 'stale' : 'allow';
}

export async function decidedBy(point: EnforcementPoint, token: string): Promise<Decided> {
  const decision = await point.check(token, { tool: 'chaos/tool' });
  if (decision.decision === 'allow') return { allowed: true, stale: decision.stale };
  return { allowed: false, stale: decision.stale, code: decision.code };
}
