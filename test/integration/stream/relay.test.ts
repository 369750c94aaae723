import { startTestBroker, type TestBroker } from '../../support/broker';
import { createTestDatabase, type TestDatabase } from '../../support/cluster';
import { eventually } from '../../support/eventually';
import { SqlTenant, type Born } from '../../support/sql-tenant';
import { BrokerSide } from './broker-side';
import { HandDrivenPoint } from './hand-driven-point';

let database: TestDatabase;
let broker: TestBroker;
let tenant: SqlTenant;
let side: BrokerSide;
let point: HandDrivenPoint;
const ended: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  [database, broker] = await Promise.all([createTestDatabase(), startTestBroker()]);
});
afterAll(async () => {
  await broker.stop();
  await database.drop();
});

beforeEach(async () => {
  tenant = await SqlTenant.create(database.url);
  side = await BrokerSide.start({ databaseUrl: database.url, broker });
  point = await HandDrivenPoint.enrolWith(side.enrol, tenant.id);
  ended.push(
    () => point.close(),
    () => side.stop(),
    () => tenant.close(),
  );
});
afterEach(async () => {
  for (const end of ended.splice(0)) await end();
});

const kill = async (agent?: Born) =>
  tenant.kill({ kind: 'agent', id: (agent ?? (await tenant.root())).agentId });

test('publishes a commit that it was told of at once, and one that it only heard of from the database', async () => {
  const outcome = await kill();
  side.relay.committed(tenant.id, 1, outcome.entries as { seq: number; payload: string }[]);
  await point.hears(1);
  await kill();
  await point.hears(2);

  expect(point.applied).toBe(2);
  const [stored] = await tenant.read(`SELECT payload FROM stream_entry WHERE seq = 1`, []);
  const [, signed] = (point.heard[0] as { jws: string }).jws.split('.');
  expect(Buffer.from(signed as string, 'base64url').toString()).toBe(stored?.payload);
});

test('publishes in order what was committed while it was down, and the control plane that comes back says it again', async () => {
  await side.stop();
  ended.splice(1, 1);
  const orders = [await kill(), await kill(), await kill()];
  const again = await BrokerSide.start({ databaseUrl: database.url, broker });
  ended.push(() => again.stop());

  await point.hears(3);

  expect(point.heard.map(({ entry }) => entry.seq)).toEqual([1, 2, 3]);
  expect(point.heard.map(({ entry }) => entry.kill_id)).toEqual(orders.map(({ id }) => id));
});

test('a gap before what it was told of is read first, so that entries leave in order', async () => {
  const [first, second] = [await kill(), await kill()];
  side.relay.committed(tenant.id, 1, second.entries as { seq: number; payload: string }[]);
  side.relay.committed(tenant.id, 1, first.entries as { seq: number; payload: string }[]);

  await point.hears(2);

  expect(point.heard.map(({ entry }) => entry.seq)).toEqual([1, 2]);
});

test('entries of one burst go together', async () => {
  const agents = await Promise.all(Array.from({ length: 40 }, () => tenant.root()));
  const outcomes = await tenant.orders(
    agents.map(({ agentId }) => ({ action: 'kill', subjects: [{ kind: 'agent', id: agentId }] })),
  );
  for (const { entries } of outcomes)
    side.relay.committed(tenant.id, 1, entries as { seq: number; payload: string }[]);

  await point.hears(40);

  expect(point.applied).toBe(40);
  expect(point.messages.length).toBeLessThan(10);
});

test('another tenant hears nothing of it', async () => {
  const other = await SqlTenant.create(database.url);
  const stranger = await HandDrivenPoint.enrolWith(side.enrol, other.id);
  ended.push(
    () => stranger.close(),
    () => other.close(),
  );
  await kill();
  await point.hears(1);
  await other.kill({ kind: 'agent', id: (await other.root()).agentId });
  await stranger.hears(1);

  expect(stranger.heard).toHaveLength(1);
  expect(stranger.heard[0]?.entry.tenant).toBe(other.id);
});

test('a commit made while the broker was away is published once it is back', async () => {
  await broker.kill();
  const outcome = await kill();
  side.relay.committed(tenant.id, 1, outcome.entries as { seq: number; payload: string }[]);
  expect(point.heard).toHaveLength(0);
  await broker.restart();

  await point.hears(1);

  expect(point.applied).toBe(1);
});

test('the pulse names the head and grows', async () => {
  await kill();
  await eventually(() => expect(point.pulses.at(-1)?.head).toBe(1));
  const before = point.pulses.at(-1)?.n ?? 0;
  await eventually(() => expect(point.pulses.at(-1)?.n).toBeGreaterThan(before));

  expect(point.pulses.at(-1)).toMatchObject({ epoch: 1, receipt_window_ms: 0 });
  expect(point.pulses.at(-1)?.source).toBe(side.replica.id);
});

test('a range is what was published, byte for byte; ranges that are gone or never were are told apart', async () => {
  for (let i = 0; i < 5; i += 1) await kill();
  await point.hears(5);
  const published = new Map(point.heard.map(({ jws, entry }) => [entry.seq, jws]));

  const middle = await point.askForRange(2, 4);
  expect(middle).toMatchObject({ epoch: 1, compacted: false });
  expect(middle.entries).toEqual([2, 3, 4].map((seq) => published.get(seq)));
  expect(await point.askForRange(6, 9)).toMatchObject({ compacted: false, entries: [] });
  expect(await point.askForRange(1, 5, 7)).toMatchObject({ compacted: true, entries: [] });
});

test('an answer goes into the inbox of the one that asks and nowhere else', async () => {
  await kill();
  await point.hears(1);
  const stolen: string[] = [];
  const subject = `sever.v1.stream.${tenant.id}`;
  side.broker.subscribe(subject, ({ data }) => void stolen.push(Buffer.from(data).toString()));
  await side.broker.flush();
  const request = JSON.stringify({ type: 'range-request', v: 1, epoch: 1, from: 1, to: 1 });
  point.nats.publish(`sever.v1.range.${tenant.id}.${point.id}`, request, { reply: subject });

  // What follows on the same connection is answered, so what came before has been dealt with.
  expect((await point.askForRange(1, 1)).entries).toHaveLength(1);
  expect(stolen).toEqual([]);
});
