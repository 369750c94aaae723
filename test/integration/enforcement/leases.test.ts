import { Pool } from 'pg';
import { startTestBroker, type TestBroker } from '../../support/broker';
import { createTestDatabase, type TestDatabase } from '../../support/cluster';
import { eventually } from '../../support/eventually';
import { SqlTenant } from '../../support/sql-tenant';
import { BrokerSide } from '../stream/broker-side';
import { HandDrivenPoint } from '../stream/hand-driven-point';

let database: TestDatabase;
let broker: TestBroker;
let side: BrokerSide;
let tenant: SqlTenant;
let point: HandDrivenPoint;

beforeAll(async () => {
  [database, broker] = await Promise.all([createTestDatabase(), startTestBroker()]);
  side = await BrokerSide.start({ databaseUrl: database.url, broker });
});
afterAll(async () => {
  await side.stop();
  await broker.stop();
  await database.drop();
});
beforeEach(async () => {
  tenant = await SqlTenant.create(database.url);
  point = await HandDrivenPoint.enrolWith(side.enrol, tenant.id);
});
afterEach(async () => {
  await point.close();
  await tenant.close();
});

const kill = async () => tenant.kill({ kind: 'agent', id: (await tenant.root()).agentId });

test('a lease names the head of the stream and the tenant’s policy', async () => {
  await point.boot();
  expect(await point.askForLease()).toMatchObject({
    ...{ type: 'lease', tenant: tenant.id, ep: point.id, boot_id: point.bootId },
    ...{ epoch: 1, head: 0, valid_ms: 10_000 },
  });
  await tenant.read(`UPDATE tenant SET lease_valid_ms = 4000`, []);
  await kill();
  await point.hears(1);

  expect(await point.askForLease()).toMatchObject({ type: 'lease', head: 1, valid_ms: 4_000 });
});

test('a request that arrives after a commit is answered with a head that holds it, whatever else waits', async () => {
  await point.boot();
  for (let i = 1; i <= 20; i += 1) {
    const earlier = point.askForLease();
    await kill();
    expect(await point.askForLease()).toMatchObject({ type: 'lease', head: i });
    expect((await earlier).type).toBe('lease');
  }
});

test('a read that was under way when a request arrived does not answer it', async () => {
  await point.boot();
  const pool = new Pool({ connectionString: database.url, max: 1 });
  pool.on('error', () => undefined);
  const blocker = await pool.connect();
  await blocker.query('BEGIN');
  await blocker.query('LOCK TABLE boot IN ACCESS EXCLUSIVE MODE');
  const early = point.askForLease();
  const waits = `SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`;
  const observer = new Pool({ connectionString: database.url, max: 1 });
  observer.on('error', () => undefined);
  await eventually(async () =>
    expect(Number((await observer.query<{ count: string }>(waits)).rows[0]?.count)).toBeGreaterThan(
      0,
    ),
  );
  // It waits for a read of its own, which begins when the present one has ended.
  const reads = jest.spyOn(side.leaseReads, 'read');
  const late = point.askForLease();
  await point.nats.flush();
  await side.broker.flush();
  expect(reads).not.toHaveBeenCalled();
  await blocker.query('ROLLBACK');
  blocker.release();

  expect((await early).type).toBe('lease');
  expect((await late).type).toBe('lease');
  expect(reads).toHaveBeenCalledTimes(1);
  reads.mockRestore();
  await Promise.all([pool.end(), observer.end()]);
});

test('a boot that is not stored, has another mode, or has left gets none', async () => {
  expect(await point.askForLease()).toMatchObject({ type: 'lease-refused', code: 'boot_unknown' });
  await point.boot();
  expect(await point.askForLease({ mode: 'best_effort' })).toMatchObject({ code: 'boot_unknown' });
  expect((await point.askForLease()).type).toBe('lease');
  await point.leave();
  await eventually(async () =>
    expect(await point.askForLease()).toMatchObject({ code: 'boot_unknown' }),
  );
});

test('another one’s boot gets none', async () => {
  const other = await HandDrivenPoint.enrolWith(side.enrol, tenant.id);
  await other.boot();

  expect(await point.askForLease({ bootId: other.bootId })).toMatchObject({ code: 'boot_unknown' });
  expect((await other.askForLease()).type).toBe('lease');
  await other.close();
});

test('who holds another stream than the database is refused and reported; who is merely behind is not', async () => {
  const alarms: string[] = [];
  const subscription = side.events.alarms.subscribe((alarm) => alarms.push(alarm.kind));
  await point.boot();
  await kill();
  await kill();
  await point.hears(2);

  expect(await point.askForLease({ digest: 'A'.repeat(43) })).toMatchObject({ code: 'divergence' });
  expect(await point.askForLease({ applied: 3 })).toMatchObject({ code: 'divergence' });
  expect(await point.askForLease({ epoch: 2 })).toMatchObject({ code: 'divergence' });
  expect(alarms).toEqual(['divergence', 'divergence', 'divergence']);
  expect(await point.askForLease({ applied: 0, digest: 'A'.repeat(43) })).toMatchObject({
    type: 'lease',
    head: 2,
  });
  subscription.unsubscribe();
});

test('a revoked enforcement point gets none; its neighbour keeps its own', async () => {
  const other = await HandDrivenPoint.enrolWith(side.enrol, tenant.id);
  await point.boot();
  await other.boot();
  await tenant.kill({ kind: 'enforcement_point', id: point.id });

  expect(await point.askForLease()).toMatchObject({ type: 'lease-refused', code: 'revoked' });
  expect((await other.askForLease()).type).toBe('lease');
  await other.close();
});

test('a boot that was retired for its silence takes a snapshot first, and is back on the roster', async () => {
  await point.boot();
  await tenant.read(`UPDATE boot SET last_seen_at = now() - interval '21 minutes'`, []);
  expect(await side.boots.retireSilent(tenant.id, 20 * 60_000)).toHaveLength(1);

  expect(await point.askForLease()).toMatchObject({ code: 'boot_unknown' });
  await point.boot();
  expect((await point.askForLease()).type).toBe('lease');
  expect((await tenant.read(`SELECT until_seq FROM boot`, []))[0]?.until_seq).toBeNull();
});

test('a lease renews the note of a boot that seemed silent, so that it cannot be retired under a running lease', async () => {
  await point.boot();
  await tenant.read(`UPDATE boot SET last_seen_at = now() - interval '21 minutes'`, []);

  expect((await point.askForLease()).type).toBe('lease');
  expect(await side.boots.retireSilent(tenant.id, 20 * 60_000)).toEqual([]);
});

test('a silent best-effort boot is never retired', async () => {
  const other = await HandDrivenPoint.enrolWith(side.enrol, tenant.id, { mode: 'best_effort' });
  await other.boot();
  await tenant.read(`UPDATE boot SET last_seen_at = now() - interval '2 days'`, []);

  expect(await side.boots.retireSilent(tenant.id, 20 * 60_000)).toEqual([]);
  await other.close();
});
