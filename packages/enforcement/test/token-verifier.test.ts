import { createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import { CompactEncrypt, SignJWT, UnsecuredJWT, type JWTHeaderParameters } from 'jose';
import { newId } from '@sever/protocol';
import { KeyRing } from '../src/key-ring';
import { TokenVerifier } from '../src/token-verifier';
import { newKeyPair } from './support/scripted-control-plane';

const NOW = 1_900_000_000;
const tenant = newId('tenant');
const initiator = newId('initiator');
const parent = newId('agent');
const agent = newId('agent');
const credential = newId('credential');
const service = newId('principal');
const task = newId('task');
const lineage = [
  [`tenant:${tenant}`, 1],
  [`service:${service}`, 1],
  [`initiator:${initiator}`, 1],
  [`task:${task}`, 1],
  [`agent:${parent}`, 1],
  [`agent:${agent}`, 1],
  [`credential:${credential}`, 1],
];

const good = {
  iss: 'https://sever.test',
  aud: 'sever',
  jti: credential,
  iat: NOW - 10,
  exp: NOW + 600,
  sub: agent,
  tid: tenant,
  scope: 'tool:github/* http:GET:billing/*',
  lin: lineage,
};
type Claims = Record<string, unknown>;

let key: Awaited<ReturnType<typeof newKeyPair>>;
let keys: KeyRing;
let verifier: TokenVerifier;

beforeAll(async () => {
  key = await newKeyPair();
});

beforeEach(async () => {
  keys = new KeyRing();
  await keys.pin([key.jwk]);
  verifier = new TokenVerifier({ tenant, issuer: good.iss, audience: 'sever', keys });
});

async function signed(
  claims: Claims = good,
  header: Partial<JWTHeaderParameters> = {},
): Promise<string> {
  return await new SignJWT(claims)
    .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid: key.kid, ...header })
    .sign(key.privateKey);
}

const verify = async (token: string, now = NOW) => await verifier.verify(token, now * 1_000);
const base64url = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('a good token', () => {
  it('names its caller from the lineage alone, and carries the key that signed it', async () => {
    const verified = await verify(await signed());
    expect(verified?.caller).toEqual({
      agentId: agent,
      credentialId: credential,
      tenant,
      initiatorId: initiator,
      scopes: ['tool:github/*', 'http:GET:billing/*'],
      expiresAt: NOW + 600,
      chain: [parent, agent],
      taskIds: [task],
      serviceId: service,
    });
    expect(verified?.lineage).toEqual([...lineage, [`signing_key:${key.kid}`, 1]]);
  });

  it('exchanged, its actor is the deepest agent', async () => {
    const token = await signed({ ...good, sub: initiator, act: { sub: agent } });
    expect(await verify(token)).not.toBeNull();
  });

  it('is remembered without its signature being computed again, until it expires', async () => {
    const token = await signed();
    expect(verifier.recall(token, NOW * 1_000)).toBeUndefined();
    const verified = await verify(token);
    expect(verifier.recall(token, NOW * 1_000)).toBe(verified);
    expect(verifier.recall(token, (NOW + 599) * 1_000)).toBe(verified);
    expect(verifier.recall(token, (NOW + 600) * 1_000)).toBeUndefined();
  });

  it('is not remembered under another header or payload with the same signature', async () => {
    const token = await signed();
    await verify(token);
    const [header, , signature] = token.split('.');
    const other = `${header}.${base64url({ ...good, scope: 'tool:*' })}.${signature}`;
    expect(verifier.recall(other, NOW * 1_000)).toBeUndefined();
    expect(await verify(other)).toBeNull();
    expect(verifier.recall(token, NOW * 1_000)).toBeDefined();
  });

  it('is refused once its key is dead, remembered or not, and stays refused', async () => {
    const token = await signed();
    await verify(token);
    keys.kill(key.kid);
    await keys.pin([key.jwk]);
    expect(verifier.recall(token, NOW * 1_000)).toBeUndefined();
    expect(await verify(token)).toBeNull();
  });

  it('is forgotten when many others came after it, and verified again', async () => {
    verifier = new TokenVerifier({
      tenant,
      issuer: good.iss,
      audience: 'sever',
      keys,
      capacity: 8,
    });
    const first = await signed();
    await verify(first);
    for (let count = 0; count < 12; count += 1)
      await verify(await signed({ ...good, exp: NOW + 300 + count }));
    expect(verifier.recall(first, NOW * 1_000)).toBeUndefined();
    expect(await verify(first)).not.toBeNull();
  });
});

describe('claims that make a token bad', () => {
  const without = (...kinds: string[]) =>
    lineage.filter(([subject]) => !kinds.some((kind) => String(subject).startsWith(`${kind}:`)));
  const other = newId('tenant');

  it.each<[string, Claims]>([
    ['another issuer', { iss: 'https://sever.test/' }],
    ['another audience', { aud: 'billing' }],
    ['no audience', { aud: undefined }],
    ['expired', { iat: NOW - 600, exp: NOW }],
    ['not yet valid', { nbf: NOW + 120 }],
    ['issued in the future', { iat: NOW + 300, exp: NOW + 600 }],
    ['a life over 15 minutes', { iat: NOW - 10, exp: NOW + 891 }],
    ['an end before its beginning', { iat: NOW + 10, exp: NOW + 5 }],
    ['a fractional expiry', { exp: NOW + 0.5 }],
    ['an expiry as text', { exp: `${NOW + 60}` }],
    ['an enormous expiry', { exp: 1e18 }],
    ['no expiry', { exp: undefined }],
    ['no issue time', { iat: undefined }],
    ['no lineage', { lin: undefined }],
    ['a lineage without tenant', { lin: [...without('tenant'), ['task:t', 1]] }],
    ['a lineage without initiator', { lin: without('initiator') }],
    ['a lineage without agent', { lin: [...without('agent'), ['task:a', 1], ['task:b', 1]] }],
    ['a lineage without credential', { lin: without('credential') }],
    ['a lineage with two tenants', { lin: [[`tenant:${other}`, 1], ...lineage] }],
    ['a tenant unlike its lineage', { tid: other }],
    [
      'another tenant altogether',
      { tid: other, lin: [[`tenant:${other}`, 1], ...lineage.slice(1)] },
    ],
    ['a subject that is not the deepest agent', { sub: parent }],
    ['an actor that is not the deepest agent', { sub: initiator, act: { sub: parent } }],
    ['another credential than its lineage', { jti: newId('credential') }],
    ['a negative generation', { lin: [...lineage.slice(1), [`tenant:${tenant}`, -1]] }],
    ['a generation as text', { lin: [...lineage.slice(1), [`tenant:${tenant}`, '1']] }],
  ])('%s', async (_, claims) => {
    expect(await verify(await signed({ ...good, ...claims }))).toBeNull();
    expect(await verify(await signed())).not.toBeNull();
  });
});

describe('headers and signatures that make a token bad', () => {
  it('no algorithm', async () => {
    expect(await verify(new UnsecuredJWT(good).encode())).toBeNull();
    const [, payload] = (await signed()).split('.');
    for (const alg of ['none', 'None', 'NONE'])
      expect(
        await verify(`${base64url({ alg, typ: 'at+jwt', kid: key.kid })}.${payload}.`),
      ).toBeNull();
  });

  it('HS256 with the public key as the secret', async () => {
    const pem = createPublicKey({ key: key.jwk, format: 'jwk' }).export({
      type: 'spki',
      format: 'pem',
    });
    for (const secret of [
      Buffer.from(pem),
      Buffer.from(key.jwk.x, 'base64url'),
      Buffer.from(key.jwk.x),
    ])
      expect(
        await verify(
          await new SignJWT(good)
            .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', kid: key.kid })
            .sign(Uint8Array.from(secret)),
        ),
      ).toBeNull();
  });

  it.each(['ES256', 'RS256', 'PS256'] as const)('%s by a key of its own', async (alg) => {
    const pair =
      alg === 'ES256'
        ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
        : generateKeyPairSync('rsa', { modulusLength: 2048 });
    const token = await new SignJWT(good)
      .setProtectedHeader({ alg, typ: 'at+jwt', kid: key.kid })
      .sign(pair.privateKey);
    expect(await verify(token)).toBeNull();
  });

  it('a stranger’s key, brought along or under our key’s name', async () => {
    const stranger = await newKeyPair();
    const by = async (header: object) =>
      await new SignJWT(good)
        .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', ...header })
        .sign(stranger.privateKey);
    expect(await verify(await by({ kid: key.kid }))).toBeNull();
    expect(await verify(await by({ kid: stranger.kid }))).toBeNull();
    expect(await verify(await by({ kid: key.kid, jwk: stranger.jwk }))).toBeNull();
    expect(await verify(await by({ jwk: stranger.jwk }))).toBeNull();
  });

  it.each<[string, object]>([
    ['a key of its own', { jwk: { kty: 'OKP', crv: 'Ed25519', x: 'A'.repeat(43) } }],
    ['a key URL', { jku: 'https://evil.test/jwks' }],
    ['a certificate URL', { x5u: 'https://evil.test/cert' }],
    ['a certificate', { x5c: ['MIIB'] }],
    ['another type', { typ: 'JWT' }],
    ['the type of a stream entry', { typ: 'sever-entry+jws' }],
    ['no key id', { kid: undefined }],
    ['a path as key id', { kid: '../../etc/passwd' }],
    ['an enormous key id', { kid: 'k'.repeat(65_536) }],
  ])('%s, although our key signed it', async (_, header) => {
    expect(await verify(await signed(good, header))).toBeNull();
  });

  it('an unencoded payload or a critical extension', async () => {
    const [, payload, signature] = (await signed()).split('.');
    for (const extra of [{ b64: false, crit: ['b64'] }, { crit: ['exp'], exp: 1 }, { crit: [] }])
      expect(
        await verify(
          `${base64url({ alg: 'EdDSA', typ: 'at+jwt', kid: key.kid, ...extra })}.${payload}.${signature}`,
        ),
      ).toBeNull();
  });

  it('a wrong, cut, or missing signature', async () => {
    const token = await signed();
    const [header, payload, signature = ''] = token.split('.');
    for (const bad of [
      `${header}.${payload}.`,
      `${header}.${payload}`,
      `${header}.${payload}.${signature.slice(0, -4)}`,
      `${header}.${payload}.${randomBytes(64).toString('base64url')}`,
      `${token}.extra`,
      `${token} `,
      '',
      '...',
      'Bearer x',
    ])
      expect(await verify(bad)).toBeNull();
    expect(await verify(token)).not.toBeNull();
  });

  it('a nested or encrypted token', async () => {
    const inner = await signed();
    expect(await verify(await signed({ ...good, token: inner }, { cty: 'JWT' }))).not.toBeNull();
    const encrypted = await new CompactEncrypt(Buffer.from(inner))
      .setProtectedHeader({ alg: 'dir', enc: 'A256GCM', typ: 'at+jwt', kid: key.kid })
      .encrypt(randomBytes(32));
    expect(await verify(encrypted)).toBeNull();
  });

  it('more than 16 KB', async () => {
    expect(await verify(await signed({ ...good, padding: 'x'.repeat(100_000) }))).toBeNull();
  });
});
