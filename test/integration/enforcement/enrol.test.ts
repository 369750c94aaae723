import { createHash, randomBytes } from 'node:crypto';
import { connect, jwtAuthenticator } from '@nats-io/transport-node';
import { ENROLMENT_PROOF_TYP, EnrolReply, newId, type EnrolRequest } from '@sever/protocol';
import { startTestBroker, type TestBroker } from '../../support/broker';
import { createTestDatabase, type TestDatabase } from '../../support/cluster';
import { SqlTenant } from '../../support/sql-tenant';
import { BrokerSide } from '../stream/broker-side';
import { HandDrivenPoint, newKeys, sign } from '../stream/hand-driven-point';

let database: TestDatabase;
let broker: TestBroker;
let side: BrokerSide;
let tenant: SqlTenant;

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
});
afterEach(async () => tenant.close());

const enrol = (request: EnrolRequest, keyId = newId('enrolmentKey')) =>
  side.enrol.enrol({ kind: 'enroller', tenant: tenant.id, id: keyId, name: 'k' }, request);
const points = () => tenant.read(`SELECT * FROM enforcement_point ORDER BY created_at`, []);

test('enrols a new enforcement point with keys of its own, kept only as hash and sealed', async () => {
  const { request } = await HandDrivenPoint.enrolRequest();
  const { created, reply } = await enrol(request);

  expect(created).toBe(true);
  expect(EnrolReply.parse(reply)).toEqual(reply);
  expect(reply).toMatchObject({ tenant: tenant.id, issuer: 'http://sever.test' });
  expect(reply.nats.urls).toEqual([broker.url]);
  // The live one and the one that takes its place.
  expect([reply.stream_keys.length, reply.token_keys.length]).toEqual([2, 2]);
  const [row] = await points();
  expect(row?.access_key_hash).toEqual(createHash('sha256').update(reply.access_key).digest());
  const leaseKey = Buffer.from(reply.lease_key, 'base64url');
  expect(leaseKey).toHaveLength(32);
  expect((row?.lease_key_sealed as Buffer).includes(leaseKey)).toBe(false);
  expect(await tenant.read(`SELECT action FROM audit_record`, [])).toEqual([
    { action: 'enforcement_point.enrolled' },
  ]);
});

test('a known key is the same enforcement point with new keys, and the old lease key is of no use', async () => {
  const { request, keys } = await HandDrivenPoint.enrolRequest();
  const first = await enrol(request);
  const again = await HandDrivenPoint.enrolRequest({ name: 'renamed', mode: 'best_effort' }, keys);
  const second = await enrol(again.request);

  expect(second.created).toBe(false);
  expect(second.reply.id).toBe(first.reply.id);
  expect(second.reply.access_key).not.toBe(first.reply.access_key);
  expect(second.reply.lease_key).not.toBe(first.reply.lease_key);
  expect(await points()).toMatchObject([
    { name: 'renamed', nats_public_key: again.request.nats_public_key },
  ]);
});

test('another key is another enforcement point, even under the same name', async () => {
  const [one, two] = [await HandDrivenPoint.enrolRequest(), await HandDrivenPoint.enrolRequest()];

  expect((await enrol(one.request)).reply.id).not.toBe((await enrol(two.request)).reply.id);
});

test('a proof is good once', async () => {
  const { request } = await HandDrivenPoint.enrolRequest();
  await enrol(request);

  await expect(enrol(request)).rejects.toMatchObject({ code: 'bad_proof' });
});

test.each([
  [
    'is signed by another key',
    async (request: EnrolRequest) => resign(request, {}, (await newKeys()).privateKey),
  ],
  [
    'is six minutes old',
    (request: EnrolRequest, key: Key) => resign(request, { iat: seconds() - 360 }, key),
  ],
  [
    'is of six minutes from now',
    (request: EnrolRequest, key: Key) => resign(request, { iat: seconds() + 360 }, key),
  ],
  [
    'names another enforcement point',
    (request: EnrolRequest, key: Key) => resign(request, { name: 'other' }, key),
  ],
  [
    'is a message of another kind',
    (request: EnrolRequest, key: Key) => resign(request, {}, key, 'sever-receipt+jws'),
  ],
  ['is no signature at all', async (request: EnrolRequest) => ({ ...request, proof: 'x.y.z' })],
])('refuses a proof that %s, and enrols nobody', async (_, spoil) => {
  const { request, keys } = await HandDrivenPoint.enrolRequest();

  await expect(enrol(await spoil(request, keys.privateKey))).rejects.toMatchObject({
    code: 'bad_proof',
  });
  expect(await points()).toEqual([]);
});

test('a NATS key with a false checksum is refused', async () => {
  const { request } = await HandDrivenPoint.enrolRequest();

  await expect(enrol({ ...request, nats_public_key: `U${'A'.repeat(55)}` })).rejects.toMatchObject({
    code: 'bad_request',
  });
});

test('a killed enforcement point does not come back under its key; another one still enrols', async () => {
  const { request, keys } = await HandDrivenPoint.enrolRequest();
  const { reply } = await enrol(request);
  await tenant.kill({ kind: 'enforcement_point', id: reply.id });

  const again = await HandDrivenPoint.enrolRequest({}, keys);
  await expect(enrol(again.request)).rejects.toMatchObject({ code: 'enforcement_point_revoked' });
  const other = await HandDrivenPoint.enrolRequest();
  expect((await enrol(other.request)).created).toBe(true);
});

test('a revoked enrolment key enrols nobody', async () => {
  const keyId = newId('enrolmentKey');
  await tenant.read(
    `INSERT INTO enrolment_key (tenant, id, name, hash, expires_at, revoked_at) VALUES ($1, $2, 'k', $3, now(), now())`,
    [tenant.id, keyId, randomBytes(32)],
  );
  const { request } = await HandDrivenPoint.enrolRequest();

  await expect(enrol(request, keyId)).rejects.toMatchObject({ code: 'enforcement_point_revoked' });
  expect(await points()).toEqual([]);
});

test('its user at the broker hears its own tenant and nothing else', async () => {
  const { request, user } = await HandDrivenPoint.enrolRequest();
  const { reply } = await enrol(request);
  const nats = await connect({
    servers: reply.nats.urls,
    authenticator: jwtAuthenticator(reply.nats.jwt, user.getSeed()),
  });
  const refused: string[] = [];
  const heard: string[] = [];
  for (const subject of ['>', `sever.v1.stream.*`, '_INBOX.>', `_R.${tenant.id}.>`])
    nats.subscribe(subject, {
      callback: (error) => void (error ? refused.push(subject) : heard.push(subject)),
    });
  const own = `sever.v1.stream.${tenant.id}`;
  nats.subscribe(own, { callback: (error) => void (error ? refused : heard).push(own) });
  await nats.flush();
  side.broker.publish(own, 'x');
  side.broker.publish(`sever.v1.stream.${newId('tenant')}`, 'x');
  await side.broker.flush();
  await nats.flush();

  expect(refused.sort()).toEqual(['>', '_INBOX.>', `_R.${tenant.id}.>`, 'sever.v1.stream.*']);
  expect(heard).toEqual([own]);
  await nats.close();
});

type Key = Awaited<ReturnType<typeof newKeys>>['privateKey'];

const seconds = (): number => Math.floor(Date.now() / 1_000);

async function resign(
  request: EnrolRequest,
  changes: object,
  key: Key,
  typ = ENROLMENT_PROOF_TYP,
): Promise<EnrolRequest> {
  const { name, nats_public_key } = request;
  const claims = { name, nats_public_key, iat: seconds(), jti: randomBytes(12).toString('hex') };
  return { ...request, proof: await sign(key, typ, { ...claims, ...changes }) };
}
