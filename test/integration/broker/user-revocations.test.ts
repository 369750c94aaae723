import { randomBytes } from 'node:crypto';
import { connect, jwtAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { decode, type User } from '@nats-io/jwt';
import {
  ENROLMENT_PROOF_TYP,
  inboxPrefix,
  type EnrolReply,
  type EnrolRequest,
} from '@sever/protocol';
import { Client } from 'pg';
import { loadConfig } from '../../../src/config/config';
import { startControlPlane, type ControlPlane } from '../../../src/control-plane';
import type { TestBroker } from '../../support/broker';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';
import { connectPoint } from '../../support/enforcement-point';
import { eventually } from '../../support/eventually';
import { createRunFolder } from '../../support/run-folder';
import { HandDrivenPoint, sign } from '../stream/hand-driven-point';
import { revocationsAt, revocationsOf } from './claims-at';

const MASTER_KEY = Buffer.alloc(32, 7).toString('base64url');
const authorityOf = (broker: TestBroker) => ({
  SEVER_NATS_OPERATOR_SEED_FILE: broker.operatorSeedFile,
  SEVER_NATS_SYSTEM_CREDS: broker.systemCredsFile,
  SEVER_MASTER_KEY: MASTER_KEY,
});

/** Each test that stops or starts servers takes several seconds of a machine that has little else to give. */
jest.setTimeout(60_000);

const open: NatsConnection[] = [];
const planes: TestControlPlane[] = [];
const extra: ControlPlane[] = [];

async function start(more: Record<string, string> = {}): Promise<TestControlPlane> {
  const plane = await startTestControlPlane((broker) =>
    Promise.resolve({ ...authorityOf(broker), ...more }),
  );
  planes.push(plane);
  return plane;
}

/** Another control plane on the same stores, as after a crash or as one more replica. */
async function startAnother(plane: TestControlPlane): Promise<ControlPlane> {
  const another = await startControlPlane(
    loadConfig({
      SEVER_ENV: 'test',
      SEVER_PORT: '0',
      SEVER_DATA_DIR: createRunFolder('test-another'),
      SEVER_DATABASE_URL: plane.database.url,
      SEVER_NATS_URL: plane.broker.url,
      SEVER_NATS_CREDS: plane.broker.credsFile,
      SEVER_NATS_ACCOUNT_SEED_FILE: plane.broker.accountSeedFile,
      SEVER_BOOTSTRAP_KEY: plane.key,
      SEVER_LOG_LEVEL: 'fatal',
      ...authorityOf(plane.broker),
    }),
  );
  extra.push(another);
  return another;
}

let shared: TestControlPlane;
beforeAll(async () => {
  shared = await start();
  planes.splice(0);
});
afterEach(async () => {
  await Promise.all(open.splice(0).map((connection) => connection.close()));
  for (const plane of extra.splice(0)) await plane.close();
  for (const plane of planes.splice(0)) await plane.close();
});
afterAll(() => shared.close());

type Keys = Awaited<ReturnType<typeof HandDrivenPoint.enrolRequest>>['keys'];

/** What somebody holds who has enrolled: the reply, and the seed of the user. */
interface Holder {
  readonly reply: EnrolReply;
  readonly status: number;
  readonly seed: Uint8Array;
  readonly keys: Keys;
}

async function enrol(plane: TestControlPlane, known?: Keys, url = plane.url): Promise<Holder> {
  const { request, user, keys } = await HandDrivenPoint.enrolRequest({}, known);
  const answer = await fetch(`${url}/v1/enforcement-points`, {
    method: 'POST',
    headers: { authorization: `Bearer ${plane.key}`, 'content-type': 'application/json' },
    body: JSON.stringify(request),
  });
  const reply = (await answer.json()) as EnrolReply;
  expect([200, 201]).toContain(answer.status);
  return { reply, status: answer.status, seed: user.getSeed(), keys };
}

async function connected({ reply, seed }: Holder): Promise<NatsConnection> {
  const connection = await connect({
    servers: reply.nats.urls,
    authenticator: jwtAuthenticator(reply.nats.jwt, seed),
    inboxPrefix: inboxPrefix(reply.tenant, reply.id),
    reconnect: false,
  });
  open.push(connection);
  return connection;
}

/** The broker says why and closes; a client that was just writing reads the reset of its connection in place of the words. */
async function expectDropped(connection: NatsConnection): Promise<void> {
  await expect(connection.closed()).resolves.toMatchObject({
    message: expect.stringMatching(/revoked|ECONNRESET|EPIPE/i),
  });
}

const refused = (holder: Holder) => expect(connected(holder)).rejects.toThrow(/authorization/i);

/** The user is refused some time from now on; until then it may still be let in. */
const eventuallyRefused = (holder: Holder) =>
  eventually(() => refused(holder), { timeoutMs: 15_000, everyMs: 100 });

test('the user that an enrolment replaces is dropped and refused; the new one and a neighbour go on', async () => {
  const plane = shared;
  const neighbour = await connectPoint(plane, 'neighbour');
  const before = await enrol(plane);
  const old = await connected(before);

  const after = await enrol(plane, before.keys);
  expect([before.status, after.status, after.reply.id]).toEqual([201, 200, before.reply.id]);
  const current = await connected(after);
  await expectDropped(old);
  await refused(before);

  await current.flush();
  await (await connected(after)).flush();
  expect(current.isClosed()).toBe(false);
  await eventually(() => expect(neighbour.state()).toMatchObject({ ready: true }));
  await neighbour.close();
});

test('an enrolment that keeps its user ends what was issued before, and what is issued after stands', async () => {
  const plane = shared;
  const { request, user, keys } = await HandDrivenPoint.enrolRequest();
  const post = async (body: object) =>
    (await plane.call('POST', '/v1/enforcement-points', { body })).body as unknown as EnrolReply;
  const holder = (reply: EnrolReply): Holder => ({ reply, status: 0, seed: user.getSeed(), keys });
  const first = holder(await post(request));
  const old = await connected(first);
  // Within the same second: what was issued later is younger all the same.
  const again = { ...request, proof: await freshProof(keys, request) };
  const second = holder(await post(again));
  expect(issued(second)).toBeGreaterThan(issued(first));

  await expectDropped(old);
  await refused(first);
  await (await connected(second)).flush();
  const self = await plane.call('GET', '/v1/enforcement-points/self', {
    key: second.reply.access_key,
  });
  await (await connected(holder({ ...second.reply, ...self.body }))).flush();
});

test('an enforcement point that restarts with its keys comes back, and a neighbour stays', async () => {
  const plane = shared;
  const keyDirectory = createRunFolder('test-restart');
  const neighbour = await connectPoint(plane, 'neighbour');
  const { bootId } = neighbour.state();
  for (let round = 0; round < 3; round++) {
    const point = await connectPoint(plane, 'restarting', { keyDirectory, timeoutMs: 10_000 });
    expect(point.state()).toMatchObject({ ready: true });
    await point.close();
  }
  await eventually(() => expect(neighbour.state()).toMatchObject({ ready: true, bootId }));
  await neighbour.close();
});

test('a removed enforcement point hears that it is, then its user is dropped and refused; a neighbour stays', async () => {
  const plane = shared;
  const [silent, neighbour] = [await enrol(plane), await enrol(plane)];
  const [old, staying] = [await connected(silent), await connected(neighbour)];
  const point = await connectPoint(plane, 'removed', { mode: 'best_effort' });

  const removed = await plane.call('DELETE', `/v1/enforcement-points/${silent.reply.id}`);
  expect([200, 202]).toContain(removed.status);
  await expectDropped(old);
  await refused(silent);

  const { body } = await plane.call('DELETE', `/v1/enforcement-points/${point.state().id}`);
  await eventually(async () =>
    expect(await plane.call('GET', `/v1/kills/${String(body.id)}`)).toMatchObject({
      body: { state: 'contained', containment: { required: 1, enforced: 1 } },
    }),
  );
  expect(point.state().darkBecause).toMatch(/revoked/);
  const users = await usersOf(plane, [silent.reply.id, point.state().id]);
  await eventually(async () =>
    expect(Object.keys(await revocationsAt(plane.broker))).toEqual(expect.arrayContaining(users)),
  );
  expect(users).toHaveLength(2);
  await staying.flush();
  await (await connected(neighbour)).flush();
  await point.close();
});

test('a user of which the process never answers is dropped all the same', async () => {
  const plane = await start();
  const point = await connectPoint(plane, 'mute');
  const { id } = point.state();
  plane.broker.freeze();
  const removing = plane.call('DELETE', `/v1/enforcement-points/${id}`);
  expect([200, 202]).toContain((await removing).status);
  const [user] = await usersOf(plane, [id]);
  await point.close();
  plane.broker.thaw();

  await eventually(
    async () => expect(Object.keys(await revocationsAt(plane.broker))).toContain(user),
    { timeoutMs: 15_000 },
  );
});

test('what a crash left between the commit and the push is made up for at the next start', async () => {
  const plane = await start({ SEVER_FAILPOINTS: 'users.before_push=throw' });
  const [before, neighbour, removed] = [await enrol(plane), await enrol(plane), await enrol(plane)];
  const [old, staying, dead] = [
    await connected(before),
    await connected(neighbour),
    await connected(removed),
  ];
  const after = await enrol(plane, before.keys);
  await plane.call('DELETE', `/v1/enforcement-points/${removed.reply.id}`);
  await plane.plane.close();
  await Promise.all([old.flush(), dead.flush()]);
  await (await connected(before)).flush();

  await startAnother(plane);
  await Promise.all([expectDropped(old), expectDropped(dead)]);
  await Promise.all([refused(before), refused(removed)]);
  await staying.flush();
  await (await connected(after)).flush();
});

test('a broker that was away drops the user when it is back, and remembers it over its next restart', async () => {
  const plane = await start();
  const [before, neighbour] = [await enrol(plane), await enrol(plane)];
  await (await connected(before)).flush();
  await plane.broker.kill();
  const after = await enrol(plane, before.keys);
  await plane.broker.restart();
  await eventuallyRefused(before);
  await (await connected(neighbour)).flush();

  await plane.broker.kill();
  await plane.broker.restart();
  await refused(before);
  await (await connected(neighbour)).flush();
  await (await connected(after)).flush();
});

test('replicas that push at once lose none of each other', async () => {
  const plane = shared;
  const another = await startAnother(plane);
  const holders = await Promise.all(Array.from({ length: 6 }, () => enrol(plane)));
  const renewed = await Promise.all(
    holders.map(({ keys }, at) => enrol(plane, keys, at % 2 ? another.url : plane.url)),
  );

  const replaced = holders.map(({ reply }) => decode<User>(reply.nats.jwt).sub);
  await eventually(
    async () =>
      expect(Object.keys(await revocationsAt(plane.broker))).toEqual(
        expect.arrayContaining(replaced),
      ),
    { timeoutMs: 15_000 },
  );
  for (const holder of holders) await refused(holder);
  for (const holder of renewed) await (await connected(holder)).flush();
});

test('claims that somebody else wrote at the broker stay', async () => {
  const plane = shared;
  const [foreign, before] = [await enrol(plane), await enrol(plane)];
  const { sub } = decode<User>(foreign.reply.nats.jwt);
  await revocationsOf(plane.broker).open((claims) =>
    claims.revoke(new Map([[sub, 4_000_000_000]])),
  );
  await enrol(plane, before.keys);

  await eventuallyRefused(before);
  expect(await revocationsAt(plane.broker)).toMatchObject({ [sub]: 4_000_000_000 });
});

test('a user that another enforcement point has is not given out again', async () => {
  const plane = shared;
  const first = await HandDrivenPoint.enrolRequest();
  const other = await HandDrivenPoint.enrolRequest();
  await plane.call('POST', '/v1/enforcement-points', { body: first.request });
  const stolen = { ...other.request, nats_public_key: first.request.nats_public_key };
  const body = { ...stolen, proof: await freshProof(other.keys, stolen) };

  expect(await plane.call('POST', '/v1/enforcement-points', { body })).toMatchObject({
    status: 400,
    body: { code: 'bad_request', detail: expect.stringMatching(/another enforcement point/) },
  });
});

test('without the authority to revoke nothing fails, and the keys at the control plane are replaced', async () => {
  const plane = await start({ SEVER_NATS_OPERATOR_SEED_FILE: '', SEVER_NATS_SYSTEM_CREDS: '' });
  const before = await enrol(plane);
  const old = await connected(before);
  const after = await enrol(plane, before.keys);

  const self = (key: string) => plane.call('GET', '/v1/enforcement-points/self', { key });
  expect((await self(before.reply.access_key)).status).toBe(401);
  expect((await self(after.reply.access_key)).status).toBe(200);
  await old.flush();
  expect(await revocationsAt(plane.broker)).toEqual({});
});

test('half of the authority is a mistake that stops the start', () => {
  const nats = { SEVER_NATS_URL: 'nats://x', SEVER_NATS_CREDS: 'c' };
  const env = { ...nats, SEVER_NATS_ACCOUNT_SEED_FILE: 's', SEVER_MASTER_KEY: MASTER_KEY };
  expect(() => loadConfig({ ...env, SEVER_NATS_SYSTEM_CREDS: 'x' })).toThrow(/both or none/);
  expect(() => loadConfig({ ...env, SEVER_NATS_OPERATOR_SEED_FILE: 'x' })).toThrow(/both or none/);
  expect(loadConfig(env).nats?.authority).toBeUndefined();
});

function issued({ reply }: Holder): number {
  return decode<User>(reply.nats.jwt).iat;
}

/** A proof is good once. */
function freshProof(keys: Keys, { name, nats_public_key }: EnrolRequest): Promise<string> {
  const jti = randomBytes(12).toString('hex');
  const iat = Math.floor(Date.now() / 1_000);
  return sign(keys.privateKey, ENROLMENT_PROOF_TYP, { name, nats_public_key, iat, jti });
}

async function usersOf(plane: TestControlPlane, ids: string[]): Promise<string[]> {
  const client = new Client({ connectionString: plane.database.url });
  await client.connect();
  try {
    const { rows } = await client.query<{ nats_public_key: string }>(
      'SELECT nats_public_key FROM enforcement_point WHERE id = ANY ($1)',
      [ids],
    );
    return rows.map((row) => row.nats_public_key);
  } finally {
    await client.end();
  }
}
