import { randomBytes } from 'node:crypto';
import { newId, requestSubject, typOf } from '@sever/protocol';
import { startTestBroker, type TestBroker } from '../../support/broker';
import { createTestDatabase, type TestDatabase } from '../../support/cluster';
import { SqlTenant } from '../../support/sql-tenant';
import { BrokerSide } from './broker-side';
import { HandDrivenPoint, newKeys, sign } from './hand-driven-point';

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
const bootRow = async (bootId: string) =>
  (await tenant.read(`SELECT * FROM boot WHERE boot_id = $1`, [bootId]))[0];

test('a snapshot holds the floors, suspensions and keys at its place, and the digest of the chain there', async () => {
  const dead = await tenant.root();
  const killed = await tenant.kill({ kind: 'agent', id: dead.agentId });
  const suspendedAgent = await tenant.root();
  const suspended = await tenant.order({
    action: 'suspend',
    subjects: [{ kind: 'agent', id: suspendedAgent.agentId }],
  });
  await tenant.root();

  const { manifest, items } = await point.boot();

  expect(manifest).toMatchObject({ tenant: tenant.id, epoch: 1, seq: 2, boot_id: point.bootId });
  const [head] = await tenant.read(`SELECT digest FROM stream_head`, []);
  expect(manifest.digest).toBe((head?.digest as Buffer).toString('base64url'));
  const [floor] = await tenant.read(`SELECT floor, floored_at FROM subject`, []);
  const keepUntil = Math.floor((floor?.floored_at as Date).getTime()) + 16 * 60_000;
  expect(items.filter(([kind]) => kind === 'f')).toEqual([
    ['f', `agent:${dead.agentId}`, Number(floor?.floor), keepUntil, killed.id],
  ]);
  expect(items.filter(([kind]) => kind === 's')).toEqual([
    ['s', suspended.id, `agent:${suspendedAgent.agentId}`, null, 2],
  ]);
  const keys = items.filter(([kind]) => kind === 'k');
  expect(keys.map(([, purpose, , state]) => `${String(purpose)} ${String(state)}`).sort()).toEqual([
    'stream live',
    'stream next',
    'token live',
    'token next',
  ]);
});

test('a floor that no living token can be older than is left out', async () => {
  await kill();
  const recent = await kill();
  await tenant.read(
    `UPDATE subject SET floored_at = now() - interval '17 minutes' WHERE floor_order <> $1`,
    [recent.id],
  );

  const { items } = await point.boot();

  expect(items.filter(([kind]) => kind === 'f').map((item) => item[4])).toEqual([recent.id]);
});

test('the boot is on the roster, from the head at which it asked, before its snapshot is read', async () => {
  await kill();
  const { manifest } = await point.boot();

  const row = await bootRow(point.bootId);
  expect(row).toMatchObject({ ep_id: point.id, mode: 'strict', until_epoch: null, left_at: null });
  expect(Number(row?.since_seq)).toBeLessThanOrEqual(manifest.seq);
});

test('no kill falls between the roster and the snapshot while both are taken in a storm', async () => {
  const agents = await Promise.all(Array.from({ length: 30 }, () => tenant.root()));
  const killing = Promise.all(
    agents.map(({ agentId }) => tenant.kill({ kind: 'agent', id: agentId })),
  );
  const boots = await Promise.all(
    Array.from({ length: 30 }, async () => {
      const bootId = newId('boot');
      const answer = await point.askForSnapshot({ bootId });
      if (!('manifest' in answer)) throw new Error('refused');
      return { bootId, ...answer };
    }),
  );
  await killing;

  for (const { bootId, manifest, items } of boots) {
    const since = Number((await bootRow(bootId))?.since_seq);
    expect(since).toBeLessThanOrEqual(manifest.seq);
    expect(items.filter(([kind]) => kind === 'f')).toHaveLength(manifest.seq);
  }
});

test('a snapshot that was read for another is not given to one that entered after a later kill', async () => {
  await point.boot();
  await kill();
  point.restart();

  expect((await point.boot()).manifest.seq).toBe(1);
});

test('large snapshots come in chunks that the manifest vouches for', async () => {
  await tenant.read(
    `INSERT INTO subject (tenant, subject, floor, floor_order, floor_action, floored_at)
     SELECT $1, 'agent:' || n || repeat('x', 200), 5, 'kil_x', 'kill', now() FROM generate_series(1, 4000) n`,
    [tenant.id],
  );

  const { manifest, items } = await point.boot();

  expect(manifest.chunks.length).toBeGreaterThan(3);
  expect(new Set(items.filter(([kind]) => kind === 'f').map((item) => item[1])).size).toBe(4_000);
});

test('a successor proves that its predecessor is gone; it cannot say that of another one’s process', async () => {
  const other = await HandDrivenPoint.enrolWith(side.enrol, tenant.id);
  await point.boot();
  await other.boot();
  const before = point.bootId;
  await kill();
  point.restart();
  await point.boot({ replaces: before });
  point.restart();
  await point.boot({ replaces: other.bootId });

  expect(await bootRow(before)).toMatchObject({ until_seq: '1', left_at: expect.any(Date) });
  expect(await bootRow(other.bootId)).toMatchObject({ until_seq: null, left_at: null });
  expect(await point.askForSnapshot({ bootId: before })).toMatchObject({ code: 'boot_left' });
  await other.close();
});

test('a boot keeps its mode, and nobody speaks for another one’s boot', async () => {
  const other = await HandDrivenPoint.enrolWith(side.enrol, tenant.id);
  await point.boot();

  expect(await point.askForSnapshot({ mode: 'best_effort' })).toMatchObject({
    code: 'mode_changed',
  });
  expect(await other.askForSnapshot({ bootId: point.bootId })).toMatchObject({
    code: 'boot_of_another',
  });
  expect(await bootRow(point.bootId)).toMatchObject({ ep_id: point.id, mode: 'strict' });
  await other.close();
});

test('a request that the asker did not sign, or signed for another, is refused and stores nothing', async () => {
  const stranger = await newKeys();
  const bootId = newId('boot');
  const forged = await sign(stranger.privateKey, typOf('snapshot-request'), {
    ...{ type: 'snapshot-request', v: 1, tenant: tenant.id, ep: point.id, boot_id: bootId },
    ...{ nonce: randomBytes(16).toString('base64url'), mode: 'strict', abort: 'stream' },
  });
  const reply = await point.nats.request(requestSubject('snapshot', tenant.id, point.id), forged);

  expect(reply.json()).toMatchObject({ type: 'refused', code: 'bad_request' });
  expect(await point.askForSnapshot({ bootId, ep: newId('enforcementPoint') })).toMatchObject({
    code: 'bad_request',
  });
  expect(await bootRow(bootId)).toBeUndefined();
});

test('a revoked enforcement point gets no snapshot any more; another one still does', async () => {
  const other = await HandDrivenPoint.enrolWith(side.enrol, tenant.id);
  await point.boot();
  await tenant.kill({ kind: 'enforcement_point', id: point.id });

  expect(await point.askForSnapshot()).toMatchObject({ code: 'enforcement_point_revoked' });
  expect((await other.boot()).items).toContainEqual([
    's',
    expect.any(String),
    `enforcement_point:${point.id}`,
    null,
    1,
  ]);
  await other.close();
});
