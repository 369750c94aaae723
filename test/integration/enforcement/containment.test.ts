import { startTestBroker, type TestBroker } from '../../support/broker';
import { createTestDatabase, type TestDatabase } from '../../support/cluster';
import { eventually } from '../../support/eventually';
import { SqlTenant } from '../../support/sql-tenant';
import type { OrderRef } from '../../../src/enforcement/roster.store';
import { BrokerSide } from '../stream/broker-side';
import { HandDrivenPoint, type PointMode } from '../stream/hand-driven-point';

/** Lease of 10 s, one second, a tenth of the lease. */
const BOUND_MS = 12_000;

let database: TestDatabase;
let broker: TestBroker;
let side: BrokerSide;
let tenant: SqlTenant;
let passed = 0;
const points: HandDrivenPoint[] = [];

beforeAll(async () => {
  [database, broker] = await Promise.all([createTestDatabase(), startTestBroker()]);
  const clock = { monotonic: () => performance.now() + passed, wall: () => Date.now() + passed };
  side = await BrokerSide.start({ databaseUrl: database.url, broker, clock });
});
afterAll(async () => {
  await side.stop();
  await broker.stop();
  await database.drop();
});
beforeEach(async () => {
  tenant = await SqlTenant.create(database.url);
});
afterEach(async () => {
  for (const point of points.splice(0)) await point.close();
  await tenant.close();
});

async function bootedPoint(
  mode: PointMode = 'strict',
  abort: 'stream' | 'signal' | 'none' = 'stream',
  name = `${mode}-point`,
): Promise<HandDrivenPoint> {
  const point = await HandDrivenPoint.enrolWith(side.enrol, tenant.id, { mode, abort, name });
  points.push(point);
  await point.boot();
  return point;
}

async function kill(subject?: { kind: string; id: string }): Promise<OrderRef> {
  const target = subject ?? { kind: 'agent', id: (await tenant.root()).agentId };
  const outcome = await tenant.kill(target);
  const committedMonoMs = side.replica.monotonic();
  const entries = outcome.entries as { seq: number; payload: string }[];
  const epoch = Number(outcome.epoch);
  side.relay.committed(tenant.id, epoch, entries);
  return {
    id: outcome.id as string,
    epoch,
    firstSeq: entries[0]?.seq ?? 0,
    lastSeq: entries.at(-1)?.seq ?? 0,
    leaseValidMs: outcome.lease_valid_ms as number,
    replica: side.replica.id,
    committedMonoMs,
  };
}

async function standing(order: OrderRef) {
  const [found] = await side.containment.forOrders(tenant.id, [order]);
  if (!found) throw new Error('no standing');
  return found;
}

async function enforce(point: HandDrivenPoint, order: OrderRef): Promise<void> {
  await point.hears(order.lastSeq);
  await point.sendReceipt();
}

test('with no enforcement point nothing is contained, and nobody waits for it', async () => {
  const order = await kill();
  const begun = performance.now();
  await side.containment.waitForContainment(tenant.id, order, 10_000);

  expect(performance.now() - begun).toBeLessThan(5_000);
  expect(await standing(order)).toMatchObject({
    state: 'committed',
    containment: { required: 0, enforced: 0, latency_ms: null, enforced_by: null },
    receipts: [],
  });
});

test('contained once every one has a receipt, and not before the last', async () => {
  const [first, second] = [await bootedPoint(), await bootedPoint('best_effort')];
  const order = await kill();
  const waiting = side.containment.waitForContainment(tenant.id, order, 20_000);
  expect(await standing(order)).toMatchObject({ state: 'committed' });
  await enforce(first, order);
  await eventually(async () =>
    expect(await standing(order)).toMatchObject({
      state: 'partial',
      containment: {
        ...{ required: 2, enforced: 1, dark: 0 },
        pending: [{ id: second.id, name: 'best_effort-point', dark_by: null }],
      },
    }),
  );
  await enforce(second, order);
  await waiting;

  const done = await standing(order);
  expect(done).toMatchObject({
    state: 'contained',
    containment: { required: 2, enforced: 2, pending: [], unknown: [], not_covered: [] },
  });
  expect(done.containment.latency_ms?.max).toBeGreaterThan(0);
  expect(done.receipts.map(({ status, boot_id }) => [status, boot_id]).sort()).toEqual(
    [first, second].map(({ bootId }) => ['enforced', bootId]).sort(),
  );
});

test('a wait that is over ends, with the order as it stands', async () => {
  await bootedPoint();
  const order = await kill();
  await side.containment.waitForContainment(tenant.id, order, 150);

  expect((await standing(order)).state).toBe('committed');
});

test('a boot that entered after the kill is not asked for it', async () => {
  const early = await bootedPoint();
  const order = await kill();
  await bootedPoint();

  expect((await standing(order)).receipts.map(({ boot_id }) => boot_id)).toEqual([early.bootId]);
});

test('a silent strict one is dark only once its lease must have run out', async () => {
  const point = await bootedPoint();
  const order = await kill();
  const before = await standing(order);
  expect(before.containment).toMatchObject({ dark: 0, pending: [{ id: point.id }] });
  expect(before.containment.enforced_by).toBe(before.containment.pending[0]?.dark_by);
  passed += BOUND_MS - 5_000;
  expect((await standing(order)).state).toBe('committed');
  passed += 5_000;

  expect(await standing(order)).toMatchObject({
    state: 'contained',
    containment: { required: 1, enforced: 0, dark: 1, pending: [], not_covered: [] },
  });
});

test('a silent best-effort one is unknown, and never counts as stopped', async () => {
  const silent = await bootedPoint('best_effort');
  const strict = await bootedPoint();
  const order = await kill();
  await enforce(strict, order);
  await eventually(async () => expect((await standing(order)).containment.enforced).toBe(1));
  passed += 60 * 60_000;

  expect(await standing(order)).toMatchObject({
    state: 'partial',
    containment: {
      unknown: [{ id: silent.id }],
      not_covered: [{ what: 'enforcement_point', enforcement_point: { id: silent.id } }],
    },
  });
});

test('one that left is dark, also for a kill before, and a wait for it ends', async () => {
  const point = await bootedPoint('best_effort');
  const order = await kill();
  const waiting = side.containment.waitForContainment(tenant.id, order, 20_000);
  await point.leave();
  await waiting;

  expect(await standing(order)).toMatchObject({ state: 'contained', containment: { dark: 1 } });
});

test('the predecessor that a boot replaced is dark; one that nobody replaced stays unknown', async () => {
  const point = await bootedPoint('best_effort');
  const lost = await bootedPoint('best_effort');
  const order = await kill();
  const replaces = point.bootId;
  point.restart();
  await point.boot({ replaces });
  lost.restart();
  await lost.boot();
  passed += BOUND_MS;

  expect(await standing(order)).toMatchObject({
    state: 'partial',
    containment: { required: 2, dark: 1, unknown: [{ id: lost.id }] },
  });
});

test('a dark one whose calls cannot be cut from outside is named', async () => {
  const point = await bootedPoint('strict', 'signal');
  const order = await kill();
  await point.leave();

  await eventually(async () =>
    expect((await standing(order)).containment.not_covered).toMatchObject([
      { what: 'in_flight', enforcement_point: { id: point.id } },
    ]),
  );
});

test('an entry that one could not apply is a nack, whatever its receipt covers', async () => {
  const point = await bootedPoint();
  const order = await kill();
  await point.hears(order.lastSeq);
  await point.sendReceipt({ nacks: [{ seq: order.lastSeq, error: 'unknown op' }] });

  await eventually(async () =>
    expect(await standing(order)).toMatchObject({
      state: 'committed',
      containment: { enforced: 0, nack: [{ id: point.id, error: 'unknown op' }] },
    }),
  );
});

test('calls that were told to stop and have not are counted and named', async () => {
  const point = await bootedPoint();
  const order = await kill();
  await point.hears(order.lastSeq);
  const counts = { aborted: 4, completed: 1, uncontrolled: 2 };
  await point.sendReceipt({ in_flight: { [order.id]: counts } });

  await eventually(async () => expect((await standing(order)).state).toBe('contained'));
  const { receipts, containment } = await standing(order);
  expect(receipts[0]?.in_flight).toEqual(counts);
  expect(containment.not_covered).toMatchObject([{ what: 'uncontrolled_calls', count: 2 }]);
});

test('a revoked one that has not confirmed its end is named by later kills, until it does', async () => {
  const [revoked, living] = [await bootedPoint('best_effort'), await bootedPoint()];
  await kill({ kind: 'enforcement_point', id: revoked.id });
  const order = await kill();
  await enforce(living, order);
  await eventually(async () =>
    expect(await standing(order)).toMatchObject({
      state: 'contained',
      containment: {
        required: 1,
        not_covered: [{ what: 'revoked_enforcement_point', enforcement_point: { id: revoked.id } }],
      },
    }),
  );
  await revoked.hears(1);
  await revoked.sendReceipt();

  await eventually(async () => expect((await standing(order)).containment.not_covered).toEqual([]));
});

test('a reinstated one that never heard of its kill is asked for later kills, and for those meanwhile', async () => {
  const [back, living] = [await bootedPoint('best_effort'), await bootedPoint()];
  const own = await kill({ kind: 'enforcement_point', id: back.id });
  const meanwhile = await kill();
  const undone = await tenant.reinstate({ kind: 'enforcement_point', id: back.id }, [own.id]);
  expect(undone).not.toHaveProperty('problem');
  const later = await kill();
  await enforce(living, later);

  for (const order of [meanwhile, later])
    await eventually(async () =>
      expect(await standing(order)).toMatchObject({
        state: 'partial',
        containment: { required: 2, enforced: 1, pending: [{ id: back.id }] },
      }),
    );
  await enforce(back, later);
  for (const order of [meanwhile, later])
    await eventually(async () => expect((await standing(order)).state).toBe('contained'));
});

test('a latency is never reckoned from another replica’s clock', async () => {
  const point = await bootedPoint();
  const order = await kill();
  await enforce(point, order);
  await eventually(async () => expect((await standing(order)).state).toBe('contained'));

  expect((await standing({ ...order, replica: 'bot_other' })).containment.latency_ms).toBeNull();
});

test('a control plane that has just started counts the bound from its own first look', async () => {
  await bootedPoint();
  const order = await kill();
  const late = await BrokerSide.start({ databaseUrl: database.url, broker });
  try {
    passed += BOUND_MS;
    expect((await standing(order)).state).toBe('contained');
    const [there] = await late.containment.forOrders(tenant.id, [order]);
    expect(there).toMatchObject({ state: 'committed', containment: { dark: 0 } });
  } finally {
    await late.stop();
  }
});
