import { randomUUID } from 'node:crypto';
import { typOf } from '@sever/protocol';
import { Client } from 'pg';
import { backUp, type Backup } from '../../support/backup';
import { startTestBroker, type TestBroker } from '../../support/broker';
import { createTestDatabase, type TestDatabase } from '../../support/cluster';
import { eventually } from '../../support/eventually';
import { createRunFolder } from '../../support/run-folder';
import { SqlTenant, type Born } from '../../support/sql-tenant';
import { BrokerSide, type BrokerSideOptions } from './broker-side';
import { HandDrivenPoint, newKeys, sign } from './hand-driven-point';

// Each copies a database, and some three times.
jest.setTimeout(240_000);

let broker: TestBroker;
let database: TestDatabase;
let dataDir: string;
let tenant: SqlTenant;
let backup: Backup;
let sides: BrokerSide[];
let points: HandDrivenPoint[];

beforeAll(async () => {
  broker = await startTestBroker();
});
afterAll(() => broker.stop());

beforeEach(async () => {
  database = await createTestDatabase();
  dataDir = createRunFolder('test-epochs');
  sides = [];
  points = [];
  tenant = await SqlTenant.create(database.url);
});
afterEach(async () => {
  for (const point of points) await point.close();
  for (const side of sides.splice(0)) await side.stop();
  await tenant.close();
  await database.drop();
});

const start = async (more: Partial<BrokerSideOptions> = {}): Promise<BrokerSide> => {
  const side = await BrokerSide.start({ databaseUrl: database.url, broker, dataDir, ...more });
  sides.push(side);
  return side;
};
const stop = async (side: BrokerSide): Promise<void> => {
  sides.splice(sides.indexOf(side), 1);
  await side.stop();
};
const connect = async (side: BrokerSide, name = 'a-point'): Promise<HandDrivenPoint> => {
  const point = await HandDrivenPoint.enrolWith(side.enrol, tenant.id, { name });
  points.push(point);
  await point.boot();
  return point;
};
const kill = async (agent: Born): Promise<string> =>
  String((await tenant.kill({ kind: 'agent', id: agent.agentId })).id);
const head = async (): Promise<string> => {
  const [row] = await tenant.read(`SELECT epoch || '.' || seq AS at FROM stream_head`, []);
  return String(row?.at);
};
const openings = (side: BrokerSide) => side.epochs.list(tenant.id, 10, null);
const restore = async (): Promise<void> => {
  await backup.restore();
  // Its pool has lost its connections with the database.
  await eventually(() => tenant.read('SELECT 1', []));
};
const signedOf = (point: HandDrivenPoint, ...seqs: number[]): string[] =>
  point.heard.flatMap(({ entry, jws }) => (seqs.includes(entry.seq) ? [jws] : []));

/** Kills one agent before the backup and two after it, all heard by a point, then goes back. */
async function loseTwoKills(side: BrokerSide) {
  const point = await connect(side);
  const [first, second, third] = [await tenant.root(), await tenant.root(), await tenant.root()];
  const neighbour = await tenant.root();
  const known = await kill(first);
  backup = await backUp(database);
  await eventually(() => tenant.read('SELECT 1', []));
  const lost = [await kill(second), await kill(third)];
  await point.hears(3);
  return { point, first, second, third, neighbour, known, lost };
}

describe('a database that has gone back', () => {
  it('is in a new epoch before the control plane that finds it has started', async () => {
    const side = await start();
    await loseTwoKills(side);
    await stop(side);
    await restore();
    expect(await head()).toBe('1.1');

    const again = await start();

    expect(await head()).toBe('2.0');
    expect(await openings(again)).toMatchObject([
      {
        ...{ epoch: 2, because: 'published', former_head: '1.1', highest_seen: '1.3' },
        ...{ restored: [], lost: [{ from: '1.2', to: '1.3' }], settled: false },
      },
    ]);
    const [record] = await tenant.read(
      `SELECT record FROM audit_record WHERE action = 'open_epoch'`,
      [],
    );
    expect(JSON.parse(String(record?.record))).toMatchObject({ epoch: 2, because: 'published' });
  });

  it('gives one place two meanings when nobody looks: the negative control', async () => {
    const side = await start({ continuity: false });
    const { point, neighbour } = await loseTwoKills(side);
    await stop(side);
    await restore();
    await start({ continuity: false });

    await kill(neighbour);

    expect(await head()).toBe('1.2');
    await eventually(() => expect(signedOf(point, 2)).toHaveLength(2));
  });

  it('is in a new epoch before the first statement of a control plane that was running all along', async () => {
    const side = await start();
    await loseTwoKills(side);
    await restore();

    const [row] = await eventually(() =>
      side.work.querySystem<{ epoch: string }>(`SELECT epoch FROM stream_head WHERE tenant = $1`, [
        tenant.id,
      ]),
    );

    expect(row?.epoch).toBe('2');
  });

  it('opens one epoch, however many replicas notice', async () => {
    const side = await start();
    await loseTwoKills(side);
    const second = await start({ dataDir: createRunFolder('test-epochs') });
    await stop(side);
    await eventually(() => expect(second.continuity.known().get(tenant.id)?.seq).toBe(3));
    await restore();

    const third = await start();

    await eventually(async () => expect(await openings(third)).toHaveLength(1));
    await eventually(() => second.work.querySystem('SELECT 1'));
    expect(await openings(second)).toHaveLength(1);
    expect(await head()).toBe('2.0');
  });

  it('is noticed by its timeline or its system identifier, though nothing published is missing', async () => {
    const side = await start();
    await kill(await tenant.root());
    await stop(side);
    await asOwner(`UPDATE database_identity SET timeline = timeline + 1`);
    const again = await start({ dataDir: createRunFolder('test-epochs') });
    expect(await openings(again)).toMatchObject([
      { because: 'timeline', former_head: '1.1', highest_seen: null, lost: [] },
    ]);
    await stop(again);
    await asOwner(`UPDATE database_identity SET system_identifier = '1'`);

    const other = await start();

    expect(await openings(other)).toMatchObject([
      { epoch: 3, because: 'system_identifier' },
      { epoch: 2 },
    ]);
  });

  it('stays in its epoch when it has not gone back', async () => {
    const side = await start();
    await kill(await tenant.root());
    await eventually(() => expect(side.continuity.known().get(tenant.id)?.seq).toBe(1));
    await stop(side);

    const again = await start();

    expect(await head()).toBe('1.1');
    expect(await openings(again)).toEqual([]);
  });

  it('raises floors above all that enforcement points may remember of the future that was lost', async () => {
    const side = await start();
    const { second } = await loseTwoKills(side);
    await restore();
    await eventually(() => side.work.querySystem('SELECT 1'));

    await kill(second);

    const [row] = await tenant.read(`SELECT floor FROM subject WHERE subject = $1`, [
      `agent:${second.agentId}`,
    ]);
    expect(Number(row?.floor)).toBe(2 * 2 ** 32);
  });

  it('calls no kill contained while a boot that it has forgotten may hold a lease, though all that it knows have answered', async () => {
    let ahead = 0;
    const clock = { monotonic: () => performance.now() + ahead, wall: () => Date.now() };
    const side = await start({ clock });
    await loseTwoKills(side);
    await restore();
    await eventually(() => side.work.querySystem('SELECT 1'));
    const point = await connect(side, 'another');
    const id = await kill(await tenant.root());
    await point.hears(1);
    await point.sendReceipt();
    const order = { id, epoch: 2, lastSeq: 1, leaseValidMs: 10_000 };
    const state = async () => {
      const [found] = await side.containment.forOrders(tenant.id, [
        { ...order, replica: null, committedMonoMs: null },
      ]);
      return { state: found?.state, enforced: found?.containment.enforced };
    };
    await eventually(async () => expect((await state()).enforced).toBe(1));
    expect((await state()).state).toBe('partial');
    ahead = 11_000;
    expect((await state()).state).toBe('partial');

    ahead = 13_000;

    expect((await state()).state).toBe('contained');
    await eventually(async () => expect((await openings(side))[0]?.settled).toBe(true));
  });
});

describe('what enforcement points show', () => {
  it('is committed again under the ids of its orders, and what is not shown is listed as lost', async () => {
    const side = await start();
    const { point, first, second, third, neighbour, known, lost } = await loseTwoKills(side);
    await restore();
    await eventually(() => side.work.querySystem('SELECT 1'));
    expect(await tenant.denial(second.lineage)).toBeNull();

    const reply = await point.show(signedOf(point, 1, 2));

    expect(reply.epoch).toBe(2);
    expect(await openings(side)).toMatchObject([
      { restored: [lost[0]], highest_seen: '1.3', lost: [{ from: '1.3', to: '1.3' }] },
    ]);
    expect(await tenant.denial(second.lineage)).toMatchObject({
      order_id: lost[0],
      action: 'kill',
    });
    expect(await tenant.mint(second)).toMatchObject({ problem: 'ancestor_revoked' });
    expect(await tenant.denial(first.lineage)).toMatchObject({ order_id: known });
    expect(await tenant.denial(third.lineage)).toBeNull();
    expect(await tenant.denial(neighbour.lineage)).toBeNull();
    const [row] = await tenant.read(`SELECT * FROM revocation WHERE id = $1`, [lost[0]]);
    expect(row).toMatchObject({
      ...{ action: 'kill', epoch: '2', first_seq: '1', last_seq: '1' },
      reason: 'restored from signed evidence',
      subjects: [{ kind: 'agent', id: second.agentId }],
      created_by: { kind: 'restored', id: point.id },
    });
    // The same order, in the stream of the new epoch, for whoever never heard of it.
    await eventually(() =>
      expect(point.heard.at(-1)?.entry).toMatchObject({ epoch: 2, seq: 1, kill_id: lost[0] }),
    );
  });

  it('is committed once, however many show it and however often', async () => {
    const side = await start();
    const other = await start({ dataDir: createRunFolder('test-epochs') });
    const late = await connect(other, 'another');
    const { point, lost } = await loseTwoKills(side);
    await late.hears(3);
    await restore();
    await eventually(() => side.work.querySystem('SELECT 1'));

    await Promise.all(
      [point, late, point, late].map((one) => one.show(signedOf(one, 1, 2, 3).reverse())),
    );

    expect(await head()).toBe('2.2');
    expect((await openings(side))[0]).toMatchObject({ restored: [...lost].sort(), lost: [] });
  });

  it('opens an epoch where no replica could know that the database has gone back', async () => {
    const side = await start();
    const { point, second, lost } = await loseTwoKills(side);
    await stop(side);
    await restore();
    const again = await start({ dataDir: createRunFolder('test-epochs') });
    expect(await head()).toBe('1.1');
    expect(await point.askForLease({ applied: 3 })).toMatchObject({ code: 'divergence' });

    const reply = await point.show(signedOf(point, 1, 2, 3));

    expect(reply.epoch).toBe(2);
    expect(await openings(again)).toMatchObject([
      { because: 'evidence', former_head: '1.1', highest_seen: '1.3', lost: [] },
    ]);
    expect(await tenant.denial(second.lineage)).toMatchObject({ order_id: lost[0] });
  });

  it('opens an epoch by the manifest of a snapshot alone, and what it covered is lost', async () => {
    const side = await start();
    const { point } = await loseTwoKills(side);
    const [jws] = await signedManifest(side, 3);
    await stop(side);
    await restore();
    const again = await start({ dataDir: createRunFolder('test-epochs') });

    await point.show([], jws);

    expect(await openings(again)).toMatchObject([
      { because: 'evidence', highest_seen: '1.3', lost: [{ from: '1.2', to: '1.3' }] },
    ]);
  });

  it('restores what was overwritten while nobody looked', async () => {
    const side = await start({ continuity: false });
    const { point, second, neighbour, lost } = await loseTwoKills(side);
    await stop(side);
    await restore();
    const blind = await start({ continuity: false });
    const overwriting = await kill(neighbour);
    await stop(blind);
    const again = await start({ dataDir: createRunFolder('test-epochs') });

    await point.show(signedOf(point, 2, 3));

    expect((await openings(again))[0]).toMatchObject({ epoch: 2, restored: [...lost].sort() });
    expect(await tenant.denial(second.lineage)).toMatchObject({ order_id: lost[0] });
    expect(await tenant.denial(neighbour.lineage)).toMatchObject({ order_id: overwriting });
  });

  it('restores suspensions and their lifts in whatever order they are shown', async () => {
    const side = await start();
    const point = await connect(side);
    const [early, late] = [await tenant.root(), await tenant.root()];
    const standing = await suspend(early);
    backup = await backUp(database);
    await eventually(() => tenant.read('SELECT 1', []));
    await lift(standing);
    const lost = await suspend(late);
    await lift(lost);
    const [both, alone] = [await tenant.root(), await tenant.root()];
    const kept = await suspend(both);
    await point.hears(5);
    await restore();
    await eventually(() => side.work.querySystem('SELECT 1'));
    expect(await tenant.denial(early.lineage)).toMatchObject({ order_id: standing });

    await point.show(signedOf(point, 4));
    await point.show(signedOf(point, 2, 5));
    await point.show(signedOf(point, 3));

    expect(await tenant.denial(early.lineage)).toBeNull();
    expect(await tenant.denial(late.lineage)).toBeNull();
    expect(await tenant.denial(both.lineage)).toMatchObject({ order_id: kept, action: 'suspend' });
    expect(await tenant.denial(alone.lineage)).toBeNull();
    const { items } = await point.boot();
    const lifted = items.flatMap((item) => (item[0] === 'l' ? [item[1]] : []));
    expect(lifted.sort()).toEqual([standing, lost].sort());
  });

  it('raises the floor of an agent that the restored database has never heard of', async () => {
    const side = await start();
    const point = await connect(side);
    backup = await backUp(database);
    await eventually(() => tenant.read('SELECT 1', []));
    const born = await tenant.root();
    const id = await kill(born);
    await point.hears(1);
    await restore();
    await eventually(() => side.work.querySystem('SELECT 1'));

    await point.show(signedOf(point, 1));

    expect(await tenant.denial(born.lineage)).toMatchObject({ order_id: id });
    const { items } = await point.boot();
    expect(items.filter(([kind]) => kind === 'f')).toMatchObject([
      ['f', `agent:${born.agentId}`, 2 * 2 ** 32, expect.any(Number), id],
    ]);
  });

  it('changes nothing unless this control plane has signed it for this tenant', async () => {
    const side = await start();
    const { point, neighbour } = await loseTwoKills(side);
    const alarms: string[] = [];
    side.events.alarms.subscribe(({ kind }) => alarms.push(kind));
    const [genuine] = signedOf(point, 3);
    const payload = JSON.parse(
      Buffer.from(String(genuine).split('.')[1] ?? '', 'base64url').toString(),
    ) as object;
    const op = { op: 'floor', subject: `agent:${neighbour.agentId}`, generation: 2 ** 40 };
    const forged = { ...payload, seq: 4, op, kill_id: `kil_${randomUUID()}` };
    const { privateKey } = await newKeys();

    await point.show([
      await sign(privateKey, typOf('entry'), forged),
      await sign(point.keys.privateKey, typOf('entry'), forged),
      String(genuine).replace(
        /\.[^.]+\./,
        `.${Buffer.from(JSON.stringify(forged)).toString('base64url')}.`,
      ),
      'not.a.jws',
    ]);

    expect(await head()).toBe('1.3');
    expect(await openings(side)).toEqual([]);
    expect(await tenant.denial(neighbour.lineage)).toBeNull();
    expect(alarms).toEqual(['bad_signature', 'bad_signature', 'bad_signature']);
  });
});

const suspend = async ({ agentId: id }: Born): Promise<string> =>
  String((await tenant.order({ action: 'suspend', subjects: [{ kind: 'agent', id }] })).id);

async function lift(id: string): Promise<void> {
  const { rows } = await tenant.pool.query<{ answer: { entries?: unknown } }>(
    `SELECT sever_lift($1, $2) AS answer`,
    [
      tenant.id,
      JSON.stringify({ id, reason: 'a test', actor: {}, own_only: false, audit_id: randomUUID() }),
    ],
  );
  expect(rows[0]?.answer.entries).toBeDefined();
}

/** The signed manifest of a snapshot that some other point took. */
async function signedManifest(side: BrokerSide, seq: number): Promise<string[]> {
  const other = await connect(side, 'another');
  const { manifest } = await other.boot();
  expect(manifest.seq).toBe(seq);
  return [await side.keys.sign(tenant.id, 'stream', typOf('snapshot'), JSON.stringify(manifest))];
}

async function asOwner(sql: string): Promise<void> {
  const client = new Client({ connectionString: database.url });
  await client.connect();
  await client.query(sql);
  await client.end();
}
