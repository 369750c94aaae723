import { createHmac, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import type { OutgoingHttpHeaders } from 'node:http';
import type { EnforcementPoint } from '@sever/enforcement';
import { Sidecar } from '@sever/sidecar';
import { startTestControlPlane, type TestControlPlane } from '../../../test/support/control-plane';
import { connectPoint } from '../../../test/support/enforcement-point';
import { EchoUpstream } from './support/echo-upstream';
import { ask, type Answer } from './support/http-sidecar';
import { JSON_RPC, toolCall } from './support/post-message';
import { ToolServer } from './support/tool-server';

type Json = Record<string, unknown>;
interface Genuine {
  readonly token: string;
  readonly header: Json;
  readonly payload: Json;
  readonly signature: string;
  /** Another agent's. */
  readonly other: string;
  /** The control plane's public key. */
  readonly jwk: Json & { x: string };
  /** Where a key could be fetched from. */
  readonly canary: string;
}

const attacker = generateKeyPairSync('ed25519');
const elliptic = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const rsa = generateKeyPairSync('rsa', { modulusLength: 2_048 });
const attackerJwk = { ...attacker.publicKey.export({ format: 'jwk' }), kid: 'mine' };

const encode = (of: unknown): string => Buffer.from(JSON.stringify(of)).toString('base64url');
const signed = (header: Json, payload: Json, key: KeyObject = attacker.privateKey): string => {
  const input = `${encode(header)}.${encode(payload)}`;
  const algorithm = key.asymmetricKeyType === 'ed25519' ? null : 'sha256';
  const bytes = sign(algorithm, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });
  return `${input}.${bytes.toString('base64url')}`;
};
const hmac = ({ header, payload }: Genuine, secret: string | Buffer): string => {
  const input = `${encode({ ...header, alg: 'HS256' })}.${encode(payload)}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
};
const part = (token: string, index: number): string => token.split('.')[index] ?? '';
const withHeader = (more: Json) => (of: Genuine) =>
  `${encode({ ...of.header, ...more })}.${part(of.token, 1)}.${of.signature}`;
const ownHeader = (more: Json) => (of: Genuine) => signed({ ...of.header, ...more }, of.payload);
const ownPayload = (more: Json) => (of: Genuine) => signed(of.header, { ...of.payload, ...more });

/** Tokens that nobody was given. */
const FORGED: readonly [string, (of: Genuine) => string][] = [
  [
    'alg none, no signature',
    ({ header, payload }) => `${encode({ ...header, alg: 'none' })}.${encode(payload)}.`,
  ],
  ['alg none, the genuine signature', withHeader({ alg: 'none' })],
  [
    'alg None',
    ({ header, payload }) => `${encode({ ...header, alg: 'None' })}.${encode(payload)}.`,
  ],
  ['HS256 by the public key, as bytes', (of) => hmac(of, Buffer.from(of.jwk.x, 'base64url'))],
  ['HS256 by the public key, as JSON', (of) => hmac(of, JSON.stringify(of.jwk))],
  [
    'ES256 under the genuine kid',
    ({ header, payload }) => signed({ ...header, alg: 'ES256' }, payload, elliptic.privateKey),
  ],
  [
    'RS256 under the genuine kid',
    ({ header, payload }) => signed({ ...header, alg: 'RS256' }, payload, rsa.privateKey),
  ],
  ['another key under the genuine kid', ownHeader({})],
  ['no signature', ({ token }) => `${part(token, 0)}.${part(token, 1)}.`],
  ['no third part', ({ token }) => `${part(token, 0)}.${part(token, 1)}`],
  ['a shortened signature', ({ token }) => token.slice(0, -2)],
  [
    'the signature of another token',
    ({ token, other }) => `${part(token, 0)}.${part(token, 1)}.${part(other, 2)}`,
  ],
  ['another spelling of its signature', ({ token }) => respelled(token)],
  [
    'more scopes, the genuine signature',
    ({ token, payload, signature }) =>
      `${part(token, 0)}.${encode({ ...payload, scope: 'tool:*' })}.${signature}`,
  ],
  [
    'jku',
    ({ canary, ...of }) => ownHeader({ jku: `${canary}/jwks`, kid: 'mine' })({ canary, ...of }),
  ],
  [
    'x5u',
    ({ canary, ...of }) => ownHeader({ x5u: `${canary}/cert`, kid: 'mine' })({ canary, ...of }),
  ],
  [
    'jku beside the genuine kid and signature',
    ({ canary, ...of }) => withHeader({ jku: `${canary}/jwks` })({ canary, ...of }),
  ],
  ['iss elsewhere', ({ canary, ...of }) => ownPayload({ iss: canary })({ canary, ...of })],
  ['a jwk of its own', ownHeader({ jwk: attackerJwk, kid: 'mine' })],
  ['x5c', ownHeader({ x5c: [randomBytes(64).toString('base64')], kid: 'mine' })],
  ['crit', ownHeader({ crit: ['exp'] })],
  ['b64 false', ownHeader({ crit: ['b64'], b64: false })],
  ['a path as kid', ownHeader({ kid: '../../../../etc/passwd' })],
  ['SQL as kid', ownHeader({ kid: "' OR 1=1; --" })],
  ['8 KB as kid', ownHeader({ kid: 'k'.repeat(4_096) })],
  ['no kid', ({ header: { kid: _, ...header }, payload }) => signed(header, payload)],
  ['typ of an id token', ownHeader({ typ: 'JWT' })],
  ['typ of a security event', ownHeader({ typ: 'secevent+jwt' })],
  ['no aud', ownPayload({ aud: undefined })],
  ['iss with a slash at its end', (of) => ownPayload({ iss: `${String(of.payload['iss'])}/` })(of)],
  ['exp as a text', ownPayload({ exp: '9999999999' })],
  ['exp beyond all time', ownPayload({ exp: 1e18 })],
  ['exp as a fraction', ownPayload({ exp: 9_999_999_999.5 })],
  ['nbf in the future', ownPayload({ nbf: 9_999_999_999 })],
  ['iat in the future', ownPayload({ iat: 9_999_999_999 })],
  [
    'a token within a token',
    ({ token, header }) => signed({ ...header, cty: 'JWT' }, { jwt: token }),
  ],
  [
    'a JWE around it',
    ({ token }) =>
      `${encode({ alg: 'dir', enc: 'A256GCM', cty: 'JWT' })}..aaaa.${Buffer.from(token).toString('base64url')}.aaaa`,
  ],
  [
    'the JSON form',
    ({ token }) =>
      encode({ protected: part(token, 0), payload: part(token, 1), signature: part(token, 2) }),
  ],
];

/** Base64url of 64 bytes leaves four bits of its last character unused. */
function respelled(token: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  return token.slice(0, -1) + alphabet[alphabet.indexOf(token.slice(-1)) ^ 1];
}

/** Requests that do not say plainly whose they are. */
const PRESENTED: readonly [
  string,
  (of: Genuine) => { query?: string; headers?: OutgoingHttpHeaders },
][] = [
  ['nowhere', () => ({})],
  ['in the query alone', ({ token }) => ({ query: `?access_token=${token}` })],
  [
    'in two Authorization headers',
    ({ token, other }) => ({ headers: { Authorization: [`Bearer ${token}`, `Bearer ${other}`] } }),
  ],
  [
    'in the same Authorization header twice',
    ({ token }) => ({ headers: { Authorization: [`Bearer ${token}`, `Bearer ${token}`] } }),
  ],
  [
    'beside another one in a list',
    ({ token, other }) => ({ headers: { authorization: `Bearer ${token}, Bearer ${other}` } }),
  ],
  [
    'as a password',
    ({ token }) => ({
      headers: { authorization: `Basic ${Buffer.from(`agent:${token}`).toString('base64')}` },
    }),
  ],
  ['without a scheme', ({ token }) => ({ headers: { authorization: token } })],
  ['in a cookie', ({ token }) => ({ headers: { cookie: `access_token=${token}` } })],
  [
    'in a header that the config does not name',
    ({ token }) => ({ headers: { 'x-api-key': token } }),
  ],
  ['with a tail', ({ token }) => ({ headers: { authorization: `Bearer ${token} admin` } })],
];

/** Paths that say one thing here and could say another at the upstream; `/api/v1/` is what the token covers. */
const PATHS = [
  '/api/v1/../admin',
  '/api/v1/%2e%2e/admin',
  '/api/v1/.%2e/admin',
  '/api/v1/..%2fadmin',
  '/api/v1/%2e%2e%2fadmin',
  '/api/v1/%252e%252e/admin',
  '/api/v1/..;/admin',
  '/api/v1/..\\admin',
  '/api/v1/%5c..%5cadmin',
  '/api/v1/%00',
  '/api/v1//../admin',
  '/api/v1/x#/../../admin',
  '/api/V1/x',
  '//api/v1/x',
  '/API/v1/x',
  '/%61pi/v1/x',
  '/api%2fv1/x',
  '/tools/../api/admin',
  '/api/admin',
];
/** Of an MCP upstream, which has one path. */
const MCP_PATHS = [
  '/tools/',
  '/tools/x',
  '/tools/..%2fapi/v1/x',
  '/tools%2f',
  '//tools',
  '/Tools',
  '/tools;x',
  '/api/../tools',
];

describe('what an attacker brings to a sidecar', () => {
  let plane: TestControlPlane;
  let point: EnforcementPoint;
  let sidecar: Sidecar;
  let tools: ToolServer;
  let api: EchoUpstream;
  let canary: EchoUpstream;
  let of: Genuine;

  beforeAll(async () => {
    [plane, tools, api, canary] = await Promise.all([
      startTestControlPlane(),
      ToolServer.start({ json: true }),
      EchoUpstream.start(),
      EchoUpstream.start(),
    ]);
    point = await connectPoint(plane, 'edge', { abort: 'stream' });
    const log = (): void => undefined;
    sidecar = await Sidecar.listen(
      {
        ...{ host: '127.0.0.1', port: 0 },
        upstreams: [
          { name: 'tools', kind: 'mcp', url: tools.url },
          { name: 'api', kind: 'http', url: api.origin },
        ],
      },
      { enforcer: point, logger: { info: log, warn: log, error: log } },
    );
    const spawn = async (): Promise<string> => {
      const { credential } = await plane.client.spawn({
        ...{ name: 'an agent', initiator: { subject: 'alice@example.com' } },
        scopes: ['tool:tools/*', 'http:GET:api/v1/*'],
      });
      return credential.token;
    };
    const [token, other] = [await spawn(), await spawn()];
    const keys = (await plane.call('GET', '/.well-known/jwks.json')).body[
      'keys'
    ] as Genuine['jwk'][];
    const decode = (index: number): Json =>
      JSON.parse(Buffer.from(part(token, index), 'base64url').toString()) as Json;
    const header = decode(0);
    const jwk = keys.find(({ kid }) => kid === header['kid']);
    if (jwk === undefined) throw new Error('the key of the token is not published');
    of = {
      token,
      other,
      header,
      payload: decode(1),
      signature: part(token, 2),
      jwk,
      canary: canary.origin,
    };
  });
  afterAll(async () => {
    await sidecar.close();
    await Promise.all([tools.close(), api.close(), canary.close()]);
    await plane.close();
  });
  afterEach(() => {
    expect(canary.seen).toEqual([]);
  });

  const get = (path: string, headers: OutgoingHttpHeaders = {}): Promise<Answer> =>
    ask(sidecar.url, path, { headers });
  const call = (path: string, headers: OutgoingHttpHeaders = {}): Promise<Answer> =>
    ask(sidecar.url, path, {
      ...{ method: 'POST', headers: { ...JSON_RPC, ...headers } },
      body: JSON.stringify(toolCall(7, 'add', { a: 1, b: 2 })),
    });
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
  const seen = (): number => tools.seen.length + api.seen.length;
  const problemIn = ({ body }: Answer): Json => {
    const json = JSON.parse(body) as Json & { error?: { data?: Json } };
    // Over HTTP `error` says the same once more, as clients of model providers read it.
    const { error, ...problem } = json;
    return error?.data ?? problem;
  };

  it('is told from what it imitates: the genuine token passes', async () => {
    expect((await get('/api/v1/x', bearer(of.token))).status).toBe(200);
    // Without a session the server refuses the call, but it was asked.
    expect((await call('/tools', bearer(of.token))).status).not.toBe(401);
    expect(api.seen).toHaveLength(1);
    expect(tools.seen).toHaveLength(1);
    expect(api.seen[0]?.headers['authorization']).toBeUndefined();
  });

  it.each(FORGED)('is refused with the constant message: %s', async (_, forge) => {
    const before = seen();
    const forged = forge(of);
    expect(forged).not.toBe(of.token);
    for (const answer of [
      await get('/api/v1/x', bearer(forged)),
      await call('/tools', bearer(forged)),
    ]) {
      expect(answer.status).toBe(401);
      expect(answer.headers['www-authenticate']).toContain('error="invalid_token"');
      const problem = problemIn(answer);
      expect(Object.keys(problem).sort()).toEqual(['code', 'detail', 'status', 'title', 'type']);
      expect(problem['code']).toBe('invalid_token');
      expect([
        'The token is missing, malformed, expired or not for this place.',
        'One agent token is needed, as Authorization: Bearer',
      ]).toContain(problem['detail']);
    }
    const checked = await ask(sidecar.url, '/check', {
      ...{ method: 'POST', headers: { 'content-type': 'application/json' } },
      body: JSON.stringify({ token: forged }),
    });
    expect(checked.status).toBe(403);
    expect(JSON.parse(checked.body)).toMatchObject({ code: 'invalid_token' });
    expect(seen()).toBe(before);
  });

  it.each(PRESENTED)('is refused when the genuine token stands %s', async (_, present) => {
    const before = seen();
    const { query = '', headers = {} } = present(of);
    for (const answer of [
      await get(`/api/v1/x${query}`, headers),
      await call(`/tools${query}`, headers),
    ]) {
      expect(answer.status).toBe(401);
      expect(problemIn(answer)['code']).toBe('invalid_token');
      expect(answer.body).not.toContain(of.signature);
    }
    expect(seen()).toBe(before);
  });

  it('is refused when a token is longer than any, before anything reads it', async () => {
    const before = seen();
    for (const length of [20_000, 100_000]) {
      const long = bearer(`${of.token}${'A'.repeat(length)}`);
      const answers = await Promise.allSettled([get('/api/v1/x', long), call('/tools', long)]);
      for (const answer of answers)
        if (answer.status === 'fulfilled') expect([401, 431]).toContain(answer.value.status);
    }
    expect(seen()).toBe(before);
    expect((await get('/api/v1/x', bearer(of.token))).status).toBe(200);
  });

  it.each(PATHS)('is refused with a genuine token at the path %s', async (path) => {
    const before = seen();
    const { status } = await get(path, bearer(of.token));
    expect([400, 403, 404]).toContain(status);
    expect(seen()).toBe(before);
  });

  it.each(MCP_PATHS)('is refused with a genuine token at the path %s of MCP', async (path) => {
    const before = seen();
    const { status } = await call(path, bearer(of.token));
    expect([400, 401, 403, 404, 405]).toContain(status);
    expect(seen()).toBe(before);
  });

  it('is refused when the token is meant for another audience, although the control plane has signed it', async () => {
    const { agent } = await plane.client.spawn({
      ...{ name: 'an agent', initiator: { subject: 'alice@example.com' } },
      scopes: ['http:GET:api/v1/*'],
    });
    const minted = await plane.call('POST', `/v1/agents/${agent.id}/credentials`, {
      body: { audience: 'https://elsewhere.test' },
    });
    const { token } = minted.body['credential'] as { token: string };
    expect((await get('/api/v1/x', bearer(token))).status).toBe(401);
  });
});
