import { Client } from 'pg';
import { backUp, type Backup } from '../../support/backup';
import { startTestBroker, type TestBroker } from '../../support/broker';
import { createTestDatabase, type TestDatabase } from '../../support/cluster';
import { eventually } from '../../support/eventually';
import { createRunFolder } from '../../support/run-folder';
import { SqlTenant, type Born } from '../../support/sql-tenant';
import { BrokerSide, type BrokerSideOptions } from './broker-side';
import { HandDrivenPoint } from './hand-driven-point';

/** One tenant on a database of its own, whose copies are put back under whoever is connected to it. */
export class EpochScene {
  tenant!: SqlTenant;
  private database!: TestDatabase;
  private dataDir!: string;
  private backup!: Backup;
  private sides: BrokerSide[] = [];
  private points: HandDrivenPoint[] = [];

  private constructor(private readonly broker: TestBroker) {}

  static async withBroker(): Promise<EpochScene> {
    return new EpochScene(await startTestBroker());
  }

  async begin(): Promise<void> {
    this.database = await createTestDatabase();
    this.dataDir = createRunFolder('test-epochs');
    this.tenant = await SqlTenant.create(this.database.url);
  }

  async end(): Promise<void> {
    for (const point of this.points.splice(0)) await point.close();
    for (const side of this.sides.splice(0)) await side.stop();
    await this.tenant.close();
    await this.database.drop();
  }

  async close(): Promise<void> {
    await this.broker.stop();
  }

  /** A control plane with the notes of the one before it; `forgetful`: with none. */
  async start({
    forgetful = false,
    ...more
  }: Partial<BrokerSideOptions> & { forgetful?: boolean } = {}): Promise<BrokerSide> {
    const dataDir = forgetful ? createRunFolder('test-epochs') : this.dataDir;
    const { broker, database } = this;
    const side = await BrokerSide.start({ databaseUrl: database.url, broker, dataDir, ...more });
    this.sides.push(side);
    return side;
  }

  async stop(side: BrokerSide): Promise<void> {
    this.sides.splice(this.sides.indexOf(side), 1);
    await side.stop();
  }

  async connect(side: BrokerSide, name = 'a-point'): Promise<HandDrivenPoint> {
    const point = await HandDrivenPoint.enrolWith(side.enrol, this.tenant.id, { name });
    this.points.push(point);
    await point.boot();
    return point;
  }

  async kill({ agentId: id }: Born): Promise<string> {
    return String((await this.tenant.kill({ kind: 'agent', id })).id);
  }

  async head(): Promise<string> {
    const [row] = await this.tenant.read(`SELECT epoch || '.' || seq AS at FROM stream_head`, []);
    return String(row?.at);
  }

  openings(side: BrokerSide) {
    return side.epochs.list(this.tenant.id, 10, null);
  }

  async backUp(): Promise<void> {
    this.backup = await backUp(this.database);
    // Its pool has lost its connections with the database.
    await eventually(() => this.tenant.read('SELECT 1', []));
  }

  /** @param under a control plane that was running all along, and has asked something since */
  async restore(under?: BrokerSide): Promise<void> {
    await this.backup.restore();
    await eventually(() => this.tenant.read('SELECT 1', []));
    if (under) await eventually(() => under.work.querySystem('SELECT 1'));
  }

  /** Kills one agent before the backup and two after it, all heard by a point. */
  async loseTwoKills(side: BrokerSide) {
    const { tenant } = this;
    const point = await this.connect(side);
    const [first, second, third] = [await tenant.root(), await tenant.root(), await tenant.root()];
    const neighbour = await tenant.root();
    const known = await this.kill(first);
    await this.backUp();
    const lost = [await this.kill(second), await this.kill(third)];
    await point.hears(3);
    return { point, first, second, third, neighbour, known, lost };
  }

  async asOwner(sql: string): Promise<void> {
    const client = new Client({ connectionString: this.database.url });
    await client.connect();
    await client.query(sql);
    await client.end();
  }
}
