import { Sidecar } from '../../src/sidecar';
import { ask } from '../support/http-sidecar';
import { ScriptedEnforcer } from '../support/scripted-enforcer';

describe('decisions over HTTP', () => {
  let enforcer: ScriptedEnforcer;
  let sidecar: Sidecar;
  let token: string;

  beforeEach(async () => {
    enforcer = new ScriptedEnforcer();
    token = enforcer.agent('one', ['http:GET:billing/*', 'http:POST:billing/v1/search']);
    sidecar = await Sidecar.listen(
      {
        host: '127.0.0.1',
        port: 0,
        upstreams: [
          { name: 'billing', kind: 'ext-authz', maxStreamMs: 300 },
          { name: 'proxied', kind: 'http', url: 'http://127.0.0.1:9' },
        ],
      },
      { enforcer, logger: console, drainMs: 100 },
    );
  });
  afterEach(() => sidecar.close());

  const bearer = (of = token) => ({ authorization: `Bearer ${of}` });
  const ways = {
    envoy: (method: string, target: string, headers = {}) =>
      ask(sidecar.url, `/ext-authz/envoy/billing${target}`, { method, headers }),
    nginx: (method: string, target: string, headers = {}) =>
      ask(sidecar.url, '/ext-authz/nginx/billing', {
        headers: { ...headers, 'x-original-method': method, 'x-original-uri': target },
      }),
    traefik: (method: string, target: string, headers = {}) =>
      ask(sidecar.url, '/ext-authz/traefik/billing', {
        headers: { ...headers, 'x-forwarded-method': method, 'x-forwarded-uri': target },
      }),
  };
  const each = Object.keys(ways) as (keyof typeof ways)[];

  it.each(each)('%s: lets through what the scopes hold, and says who calls', async (way) => {
    const { status, headers, body } = await ways[way]('GET', '/v1/invoices?page=2', bearer());
    expect({ status, body }).toEqual({ status: 200, body: '' });
    expect(headers).toMatchObject({
      'sever-agent': 'one',
      'sever-initiator': 'ini',
      'sever-epoch': '1.7',
      'cache-control': 'no-store',
    });
    expect((await ways[way]('POST', '/v1/search', bearer())).status).toBe(200);
  });

  it.each(each)('%s: refuses what they do not hold, and whoever is not known', async (way) => {
    const missing = await ways[way]('POST', '/v1/invoices', bearer());
    expect([missing.status, missing.headers['sever-code']]).toEqual([403, 'insufficient_scope']);
    expect(JSON.parse(missing.body)).toMatchObject({ code: 'insufficient_scope' });
    for (const headers of [{}, bearer('forged')]) {
      const unknown = await ways[way]('GET', '/v1/invoices', headers);
      expect([unknown.status, unknown.headers['sever-code']]).toEqual([401, 'invalid_token']);
      expect(unknown.headers['www-authenticate']).toContain('Bearer');
      expect(unknown.headers['sever-agent']).toBeUndefined();
    }
  });

  it.each(each)('%s: refuses a killed agent and lets its neighbour through', async (way) => {
    const neighbour = enforcer.agent('two', ['http:*']);
    enforcer.kill('one');
    const dead = await ways[way]('GET', '/v1/invoices', bearer());
    expect([dead.status, dead.headers['sever-code']]).toEqual([403, 'agent_revoked']);
    expect((await ways[way]('GET', '/v1/invoices', bearer(neighbour))).status).toBe(200);
  });

  it.each(each)('%s: decides on no path that servers read differently', async (way) => {
    for (const target of [
      '/v1/../admin',
      '/v1/%2e%2e/admin',
      '/v1//invoices',
      '/v1/a%2fb',
      '/v1;x/b',
    ]) {
      const { status, headers } = await ways[way]('GET', target, bearer());
      expect({ target, code: headers['sever-code'] }).toEqual({ target, code: 'bad_request' });
      expect(status).toBe(way === 'nginx' ? 403 : 400);
    }
    expect(enforcer.kinds).toEqual([]);
  });

  it('without a lease: 503 for those who pass it on, 403 for nginx', async () => {
    enforcer.lapse();
    const answers = await Promise.all(each.map((way) => ways[way]('GET', '/v1/x', bearer())));
    expect(answers.map(({ status }) => status)).toEqual([503, 403, 503]);
    for (const { headers } of answers) expect(headers['sever-code']).toBe('enforcement_stale');
  });

  it('takes what is asked for from where the address says, not from headers that a client can send', async () => {
    const disguise = { 'x-original-uri': '/v1/invoices', 'x-forwarded-uri': '/v1/invoices' };
    const forged = { ...bearer(), 'x-original-method': 'GET', 'x-forwarded-method': 'GET' };
    const { status } = await ways.envoy('DELETE', '/v1/invoices', { ...forged, ...disguise });
    expect(status).toBe(403);
    const nothing = await ask(sidecar.url, '/ext-authz/nginx/billing', { headers: bearer() });
    expect(JSON.parse(nothing.body)).toMatchObject({ code: 'bad_request' });
    const twice = await ask(sidecar.url, '/ext-authz/nginx/billing', {
      headers: { ...bearer(), 'x-original-method': 'GET', 'x-original-uri': ['/v1/a', '/v1/b'] },
    });
    expect(JSON.parse(twice.body)).toMatchObject({ code: 'bad_request' });
  });

  it('decides about upstreams of its own kind alone, and at its own addresses alone', async () => {
    for (const path of [
      '/ext-authz/envoy/proxied/v1/x',
      '/ext-authz/envoy/unknown/v1/x',
      '/ext-authz/apache/billing/v1/x',
      '/ext-authz/envoy/billing2/v1/x',
      '/ext-authz/',
    ]) {
      const { status } = await ask(sidecar.url, path, { headers: bearer() });
      expect({ path, status }).toEqual({ path, status: 404 });
    }
    expect((await ask(sidecar.url, '/billing/v1/x', { headers: bearer() })).status).toBe(404);
  });

  it('counts a call for as long as the other proxy may carry it, and no longer', async () => {
    await ways.envoy('GET', '/v1/invoices', bearer());
    expect(enforcer.kinds).toEqual(['let_through']);
    expect(enforcer.calls.size).toBe(1);
    const until = Date.now() + 5_000;
    while (enforcer.calls.size > 0 && Date.now() < until)
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect(enforcer.calls.size).toBe(0);
  });
});
