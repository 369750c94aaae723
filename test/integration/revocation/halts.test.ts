import { newId, typOf, type Halt, type HaltKeyInfo, type PublicJwk } from '@sever/protocol';
import type { EnforcementPoint } from '@sever/enforcement';
import {
  calculateJwkThumbprint,
  CompactSign,
  exportJWK,
  generateKeyPair,
  type CryptoKey,
} from 'jose';
import { EnforcementEvents, type EnforcementAlarm } from '../../../src/stream/enforcement-events';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';
import { connectPoint } from '../../support/enforcement-point';
import { eventually } from '../../support/eventually';

jest.setTimeout(60_000);

interface Pair {
  readonly kid: string;
  readonly jwk: PublicJwk;
  readonly privateKey: CryptoKey;
}

async function newPair(): Promise<Pair> {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true });
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: (await exportJWK(publicKey)).x ?? '' } as const;
  return { kid: await calculateJwkThumbprint(jwk), jwk, privateKey };
}

const sign = (halt: Halt, { kid, privateKey }: Pair): Promise<string> =>
  new CompactSign(Buffer.from(JSON.stringify(halt)))
    .setProtectedHeader({ alg: 'EdDSA', typ: typOf('halt'), kid })
    .sign(privateKey);

describe('halt keys and halts', () => {
  let plane: TestControlPlane;
  let point: EnforcementPoint;
  let tenant: string;
  const alarms: EnforcementAlarm[] = [];

  beforeAll(async () => {
    plane = await startTestControlPlane();
    point = await connectPoint(plane, 'halted');
    tenant = point.state().tenant;
    plane.plane.app.get(EnforcementEvents).alarms.subscribe((alarm) => void alarms.push(alarm));
  });
  afterAll(async () => {
    await point.close();
    await plane.close();
  });

  const register = (pair: Pair, name = 'in the safe') =>
    plane.call('POST', '/v1/halt-keys', { body: { name, public_key: pair.jwk } });
  const known = async (pair: Pair): Promise<HaltKeyInfo> => {
    const made = await register(pair);
    expect(made.status).toBe(201);
    return made.body as never;
  };
  const haltOf = (subjects: string[]): Halt => ({
    ...{ type: 'halt', v: 1, tenant, kill_id: newId('kill'), subjects, reason: 'gone wild' },
    ...{ issued_at: Date.now(), not_after: Date.now() + 86_400_000 },
  });
  const root = (name: string) =>
    plane.client.spawn({ name, initiator: { subject: 'alice' }, scopes: ['tool:*'] });
  /** Its key arrives by the stream: nobody enrols again. */
  const bring = (jws: string) =>
    eventually(async () => expect((await point.halt(jws)).outcome).not.toBe('refused'));
  const tell = (halts: string[]) =>
    plane.plane.app.get(EnforcementEvents).halts.next({ tenant, epId: point.state().id, halts });

  it('a public half is registered once, whatever its name, and shown without anything private', async () => {
    const pair = await newPair();
    const first = await known(pair);
    expect(first).toMatchObject({ kid: pair.kid, name: 'in the safe', revoked_at: null });
    expect(await register(pair, 'another name')).toMatchObject({ status: 201, body: first });
    const listed = (await plane.call('GET', '/v1/halt-keys')).body as { items: HaltKeyInfo[] };
    expect(listed.items.filter(({ kid }) => kid === pair.kid)).toEqual([first]);
  });

  it.each([
    ['a private half', { d: 'x'.repeat(43) }],
    ['a key of another kind', { crv: 'X25519' }],
  ])('%s is refused', async (_, more) => {
    const { jwk } = await newPair();
    const body = { name: 'bad', public_key: { ...jwk, ...more } };
    expect((await plane.call('POST', '/v1/halt-keys', { body })).status).toBe(400);
  });

  it('a key that was removed is buried: it does not return, and enforcement points refuse it from then on', async () => {
    const [removed, kept] = [await newPair(), await newPair()];
    const { id } = await known(removed);
    await known(kept);
    const [one, two] = [await root('one'), await root('two')];
    await eventually(async () => {
      const jws = await sign(haltOf([`agent:${one.agent.id}`]), removed);
      expect(await point.halt(jws)).toMatchObject({ outcome: 'enforced' });
    });
    expect((await plane.call('DELETE', `/v1/halt-keys/${id}`)).status).toBe(204);
    expect((await plane.call('DELETE', `/v1/halt-keys/${id}`)).status).toBe(204);
    const late = await sign(haltOf([`agent:${two.agent.id}`]), removed);
    await eventually(async () =>
      expect(await point.halt(late)).toEqual({ outcome: 'refused', why: 'not_signed' }),
    );
    expect(await register(removed)).toMatchObject({ status: 422 });
    expect((await plane.call('DELETE', `/v1/halt-keys/${newId('haltKey')}`)).status).toBe(404);

    // A newcomer is told of the living one at enrolment, and of the dead one by its snapshot.
    const newcomer = await connectPoint(plane, 'newcomer');
    expect(await newcomer.halt(late)).toMatchObject({ why: 'not_signed' });
    const other = haltOf([`agent:${two.agent.id}`]);
    expect(await newcomer.halt(await sign(other, kept))).toMatchObject({ outcome: 'enforced' });
    await newcomer.close();
  });

  it('a halt that an enforcement point shows becomes one kill under its own id, however often it is shown', async () => {
    const pair = await newPair();
    const key = await known(pair);
    const [doomed, sibling] = [await root('doomed'), await root('sibling')];
    const halt = haltOf([`agent:${doomed.agent.id}`, `credential:${doomed.credential.id}`]);
    const jws = await sign(halt, pair);
    await bring(jws);
    const kill = await eventually(async () => {
      const found = await plane.client.getKill(halt.kill_id);
      expect(found.state).toBe('contained');
      return found;
    });
    expect(kill.created_by).toEqual({ id: key.id, name: key.name, kind: 'halt_key' });
    // What it named stands on the wire by that name too, so the enforcement point has nothing open any more.
    await eventually(() =>
      expect(point.state().halts.filter(({ kill_id }) => kill_id === halt.kill_id)).toEqual([]),
    );
    for (let n = 0; n < 3; n += 1) tell([jws]);
    const again = await root('again');
    expect((await plane.client.killAgent(again.agent.id, { reason: 'a marker' })).state).toBe(
      'contained',
    );
    const { items } = await plane.client.listKills({});
    expect(items.filter(({ id }) => id === halt.kill_id)).toHaveLength(1);
    expect(alarms.filter(({ detail }) => detail.includes(halt.kill_id))).toEqual([
      expect.objectContaining({ kind: 'halt_used' }),
    ]);
    expect((await plane.client.getAgent(sibling.agent.id)).state).toBe('active');
    expect(await point.check(sibling.credential.token)).toMatchObject({ decision: 'allow' });
  });

  it('nobody is killed by a halt of a stranger, of another tenant, or of a removed key; each is alarmed', async () => {
    const [pair, removed, stranger] = [await newPair(), await newPair(), await newPair()];
    await known(pair);
    const { id } = await known(removed);
    await plane.call('DELETE', `/v1/halt-keys/${id}`);
    const [agent, doomed] = [await root('agent'), await root('doomed')];
    const subjects = [`agent:${agent.agent.id}`];
    const good = await sign(haltOf([`agent:${doomed.agent.id}`]), pair);
    const [header, , signature] = good.split('.') as [string, string, string];
    const forged = Buffer.from(JSON.stringify(haltOf(subjects))).toString('base64url');
    const bad = [
      await sign(haltOf(subjects), stranger),
      await sign(haltOf(subjects), { ...stranger, kid: pair.kid }),
      await sign({ ...haltOf(subjects), tenant: newId('tenant') }, pair),
      await sign({ ...haltOf(subjects), kill_id: 'no-kill' }, pair),
      await sign(haltOf(subjects), removed),
      await sign(haltOf(['moon:full']), pair),
      `${header}.${forged}.${signature}`,
      'nothing',
    ];
    const before = alarms.length;
    // The last one is good: what came before it has been judged when it is in force.
    tell([...bad, good]);
    await eventually(async () =>
      expect((await plane.client.getAgent(doomed.agent.id)).state).toBe('killed'),
    );
    await eventually(() =>
      expect(alarms.slice(before).filter(({ kind }) => kind === 'halt_refused')).toHaveLength(
        bad.length,
      ),
    );
    expect((await plane.client.getAgent(agent.agent.id)).state).toBe('active');
    expect(await point.check(agent.credential.token)).toMatchObject({ decision: 'allow' });
  });
});
