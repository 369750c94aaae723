import { randomBytes } from 'node:crypto';
import { startTestBroker, type TestBroker } from '../../support/broker';
import { createRunFolder } from '../../support/run-folder';
import type { History } from '../history/history';
import { ChaosProxy } from '../proxy/chaos-proxy';
import { NatsProxy } from '../proxy/nats-proxy';
import { ChaosDatabase } from './database';
import { Planes } from './planes';
import { SdkPoint, SidecarPoint, type Point, type PointOptions } from './points';
import { Tap } from './tap';

/** Short, so that a run sees many leases begin and end. */
export const LEASE_MS = 2_000;

export interface WorldOptions {
  readonly seed: number;
  /** Replicas of the control plane. */
  readonly planes: number;
  /** What enforcement points and control plane say to each other is written there. */
  readonly history: History;
  readonly log: (line: string) => void;
}

/** Everything that runs: servers, replicas, enforcement points, and the proxies in between. */
export class World {
  readonly folder = createRunFolder('chaos');
  readonly key = `sk_${randomBytes(32).toString('base64url')}`;
  database!: ChaosDatabase;
  /** Between the replicas and Postgres. */
  databaseRoad!: ChaosProxy;
  broker!: TestBroker;
  /** Between the enforcement points and the broker. */
  brokerRoad!: NatsProxy;
  planes!: Planes;
  tenant = '';
  readonly sdks: SdkPoint[] = [];
  readonly sidecars: SidecarPoint[] = [];
  /** What ended that nobody had ended. */
  readonly deaths: string[] = [];

  private readonly tap: Tap;

  private constructor(private readonly options: WorldOptions) {
    this.tap = new Tap(options.history);
    process.once('exit', this.thaw);
  }

  /** A server that stands still does not see that it should end with this process. */
  private readonly thaw = (): void => {
    try {
      this.database?.thaw();
      this.broker?.thaw();
    } catch {
      // It has ended already.
    }
  };

  static async start(options: WorldOptions): Promise<World> {
    const world = new World(options);
    try {
      await world.startServers();
      await world.startPoints();
      return world;
    } catch (error) {
      await world.stop();
      throw error;
    }
  }

  get points(): readonly Point[] {
    return [...this.sdks, ...this.sidecars];
  }

  async stop(): Promise<void> {
    process.off('exit', this.thaw);
    const settle = async (what: (Promise<unknown> | undefined)[]): Promise<void> => {
      await Promise.allSettled(what.map(async (one) => await one));
    };
    await settle(this.points.map((point) => point.close()));
    await settle([this.planes?.stop()]);
    await settle([this.databaseRoad?.close(), this.brokerRoad?.close()]);
    await settle([this.broker?.stop(), this.database?.stop()]);
  }

  private async startServers(): Promise<void> {
    [this.database, this.broker] = await Promise.all([
      ChaosDatabase.start(this.folder),
      startTestBroker(),
    ]);
    this.databaseRoad = await ChaosProxy.to(this.database.port);
    this.brokerRoad = await NatsProxy.to(Number(new URL(this.broker.url).port), this.options.seed);
    this.brokerRoad.observe(this.tap.nats);
    this.planes = new Planes(this.folder, this.environment(), (why) => this.deaths.push(why));
    for (let at = 0; at < this.options.planes; at += 1) await this.planes.add();
    const [row] = await this.database.query<{ id: string }>(
      `UPDATE tenant SET lease_valid_ms = $1, lease_valid_ms_before = $1,
              lease_changed_at = now() - interval '1 hour' RETURNING id`,
      [LEASE_MS],
    );
    this.tenant = row?.id ?? '';
  }

  private async startPoints(): Promise<void> {
    const options = (name: string, mode: PointOptions['mode']): PointOptions => ({
      ...{ name, mode, key: this.key, folder: this.folder, planePorts: this.planes.ports },
      onRequest: this.tap.http,
    });
    for (const [name, mode] of [
      ['alpha', 'strict'],
      ['beta', 'strict'],
      ['gamma', 'best_effort'],
    ] as const)
      this.sdks.push(await SdkPoint.start(options(name, mode)));
    this.sidecars.push(
      await SidecarPoint.start(options('delta', 'strict'), (why) => this.deaths.push(why)),
    );
  }

  private environment(): Record<string, string> {
    return {
      SEVER_ENV: 'test',
      SEVER_DATABASE_URL: this.database.urlAt(this.databaseRoad.port),
      SEVER_NATS_URL: this.broker.url,
      SEVER_NATS_PUBLIC_URLS: `nats://127.0.0.1:${this.brokerRoad.port}`,
      SEVER_NATS_CREDS: this.broker.credsFile,
      SEVER_NATS_ACCOUNT_SEED_FILE: this.broker.accountSeedFile,
      SEVER_NATS_OPERATOR_SEED_FILE: this.broker.operatorSeedFile,
      SEVER_NATS_SYSTEM_CREDS: this.broker.systemCredsFile,
      SEVER_MASTER_KEY: randomBytes(32).toString('base64url'),
      SEVER_BOOTSTRAP_KEY: this.key,
      SEVER_SAMPLE: '0',
      SEVER_LOG_LEVEL: 'fatal',
    };
  }
}
