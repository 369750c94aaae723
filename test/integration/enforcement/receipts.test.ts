import { startTestBroker, type TestBroker } from '../../support/broker';
import { createTestDatabase, type TestDatabase } from '../../support/cluster';
import { eventually } from '../../support/eventually';
import { SqlTenant } from '../../support/sql-tenant';
import { BrokerSide } from '../stream/broker-side';
import { HandDrivenPoint, sign } from '../stream/hand-driven-point';

let database: TestDatabase;
let broker: TestBroker;
let side: BrokerSide;
let tenant: SqlTenant;
let point: HandDrivenPoint;
let neighbour: HandDrivenPoint;
let alarms: string[];
let killed: Record<string, unknown>;
const subscriptions: { unsubscribe(): void }[] = [];

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
  neighbour = await HandDrivenPoint.enrolWith(side.enrol, tenant.id);
  await point.boot();
  await neighbour.boot();
  alarms = [];
  subscriptions.push(side.events.alarms.subscribe((alarm) => alarms.push(alarm.kind)));
  killed = await tenant.kill({ kind: 'agent', id: (await tenant.root()).agentId });
  await point.hears(1);
  await neighbour.hears(1);
});
afterEach(async () => {
  for (const subscription of subscriptions.splice(0)) subscription.unsubscribe();
  await point.close();
  await neighbour.close();
  await tenant.close();
});

interface Stored {
  boot_id: string;
  applied: string;
  in_flight: object;
  jws: string;
}

const stored = async () =>
  (await tenant.read(
    `SELECT boot_id, applied, in_flight, jws FROM receipt ORDER BY boot_id, applied`,
    [],
  )) as unknown as Stored[];

/** A good receipt of the neighbour, sent last, shows that everything before it has been dealt with. */
async function nothingStoredFor(bootId: string): Promise<void> {
  await neighbour.sendReceipt();
  await eventually(async () =>
    expect((await stored()).map((row) => row.boot_id)).toContain(neighbour.bootId),
  );
  expect((await stored()).map((row) => row.boot_id)).not.toContain(bootId);
}

test('a signed receipt is kept word for word, once, and told', async () => {
  const told: unknown[] = [];
  subscriptions.push(side.events.receipts.subscribe((receipt) => told.push(receipt)));
  const jws = await point.signReceipt();
  await point.send('receipt', jws);
  await eventually(async () => expect(await stored()).toHaveLength(1));
  await point.sendReceipt();
  await neighbour.sendReceipt();
  await eventually(async () => expect(await stored()).toHaveLength(2));

  const own = (await stored()).filter(({ boot_id }) => boot_id === point.bootId);
  expect(own).toMatchObject([{ applied: '1', jws }]);
  expect(told[0]).toMatchObject({ tenant: tenant.id, epId: point.id, epoch: 1, applied: 1 });
});

test('what became of calls in flight is added to the step it belongs to', async () => {
  const id = killed.id as string;
  await point.sendReceipt({ in_flight: { [id]: { aborted: 1, completed: 0, uncontrolled: 2 } } });
  await eventually(async () => expect(await stored()).toHaveLength(1));
  await point.sendReceipt({ in_flight: { [id]: { aborted: 3, completed: 0, uncontrolled: 0 } } });

  await eventually(async () =>
    expect(await stored()).toMatchObject([
      { applied: '1', in_flight: { [id]: { aborted: 3, uncontrolled: 0 } } },
    ]),
  );
});

test('a receipt that somebody else signed is dropped and reported', async () => {
  const claims = { type: 'receipt', v: 1, tenant: tenant.id, ep: point.id, boot_id: point.bootId };
  const body = { epoch: 1, applied: 1, held_ms: 0, in_flight: {}, nacks: [] };
  const digest = point.digest.toString('base64url');
  const forged = await sign(neighbour.keys.privateKey, 'sever-receipt+jws', {
    ...claims,
    ...body,
    digest,
  });
  await point.send('receipt', forged);

  await nothingStoredFor(point.bootId);
  expect(alarms).toEqual(['bad_signature']);
});

test('a neighbour’s receipt counts for nobody on another one’s subject, and none for another one’s boot', async () => {
  await neighbour.send('receipt', await point.signReceipt());
  await neighbour.sendReceipt({ bootId: point.bootId });

  await nothingStoredFor(point.bootId);
});

test('the broker does not let one speak on another one’s subject', async () => {
  const refused = (async () => {
    for await (const status of neighbour.nats.status())
      if (status.type === 'error') return String(status.error);
    return '';
  })();
  neighbour.nats.publish(`sever.v1.receipt.${tenant.id}.${point.id}`, await point.signReceipt());

  expect(await refused).toMatch(/permissions violation/i);
  await nothingStoredFor(point.bootId);
});

test('a boot that never took a snapshot enforces nothing', async () => {
  point.restart();
  await point.sendReceipt();

  await nothingStoredFor(point.bootId);
});

test('a receipt above the head, or of an epoch to come, is dropped and reported', async () => {
  await point.sendReceipt({ applied: 2 });
  await point.sendReceipt({ epoch: 2 });

  await nothingStoredFor(point.bootId);
  expect(alarms).toEqual(['receipt_over_head', 'receipt_over_head']);
});

test('a receipt of an epoch that is over is dropped', async () => {
  await tenant.read(`UPDATE stream_head SET epoch = 2, seq = 0`, []);
  await point.sendReceipt({ epoch: 1, applied: 1 });
  await neighbour.sendReceipt({
    epoch: 2,
    applied: 0,
    digest: Buffer.alloc(32).toString('base64url'),
  });

  await eventually(async () => expect(await stored()).toHaveLength(1));
  expect((await stored())[0]?.boot_id).toBe(neighbour.bootId);
});

test('a receipt over another stream than ours is divergence, not evidence', async () => {
  await point.sendReceipt({ digest: 'A'.repeat(43) });

  await nothingStoredFor(point.bootId);
  expect(alarms).toEqual(['divergence']);
});

test('text that the database cannot hold spoils nobody’s receipt', async () => {
  await point.sendReceipt({ nacks: [{ seq: 1, error: 'odd \u0000 \ud800 op' }] });
  await neighbour.sendReceipt();

  await eventually(async () => expect(await stored()).toHaveLength(2));
});

test('a signed leave ends the boot; its neighbour stays', async () => {
  await point.leave();

  const boots = () =>
    tenant.read(`SELECT boot_id FROM boot WHERE left_at IS NOT NULL AND until_seq = 1`, []);
  await eventually(async () => expect(await boots()).toEqual([{ boot_id: point.bootId }]));
});
