import { RequestMethod } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import { KEY_ROLES, newId } from '@sever/protocol';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';

const READERS = ['responder', 'lead', 'auditor', 'playbook', 'admin'];
const KILLERS = ['responder', 'lead', 'playbook', 'admin', 'service', 'agent'];
const PUBLIC = 'public';

/** Who may call what. A route without a row here fails the test below. */
const MATRIX: Record<string, string[] | typeof PUBLIC> = {
  'GET /healthz': PUBLIC,
  'GET /readyz': PUBLIC,
  'GET /metrics': PUBLIC,
  'GET /console': PUBLIC,
  'GET /console/:file': PUBLIC,
  'GET /.well-known/jwks.json': PUBLIC,
  'POST /v1/agents': ['service', 'admin', 'agent'],
  'GET /v1/agents': [...READERS, 'service', 'agent'],
  'GET /v1/agents/:id': [...READERS, 'service', 'agent'],
  'GET /v1/agents/:id/tree': [...READERS, 'service', 'agent'],
  'POST /v1/agents/:id/credentials': ['service', 'agent'],
  'POST /v1/agents/:id/complete': ['service', 'agent'],
  'POST /v1/tasks/:id/complete': ['service', 'agent'],
  'POST /v1/agents/:id/kill': KILLERS,
  'POST /v1/kills': KILLERS,
  'POST /v1/agents/:id/suspend': KILLERS,
  'POST /v1/kills/preview': KILLERS,
  'POST /v1/kills/:id/lift': ['responder', 'lead'],
  'POST /v1/kills/:id/escalate': KILLERS,
  'POST /v1/subjects/:kind/:id/reinstate': ['lead'],
  'GET /v1/kills': READERS,
  'GET /v1/kills/:id': READERS,
  'GET /v1/kills/:id/cascade': READERS,
  'GET /v1/kills/:id/receipts': READERS,
  'GET /v1/epochs': READERS,
  'POST /v1/enforcement-points': ['enroller'],
  'GET /v1/enforcement-points': READERS,
  'GET /v1/enforcement-points/self': ['enforcement_point'],
  'PUT /v1/enforcement-points/self/serves': ['enforcement_point'],
  'DELETE /v1/enforcement-points/:id': ['admin'],
  'GET /v1/stream': ['enforcement_point'],
  'GET /v1/stream/snapshot': ['enforcement_point'],
  'POST /v1/stream/snapshot': ['enforcement_point'],
  'POST /v1/stream/range': ['enforcement_point'],
  'POST /v1/stream/lease': ['enforcement_point'],
  'POST /v1/stream/receipts': ['enforcement_point'],
  'POST /v1/stream/evidence': ['enforcement_point'],
  'POST /v1/stream/calls': ['enforcement_point'],
  'GET /v1/calls': ['responder', 'lead', 'auditor', 'playbook'],
  'POST /v1/drills': ['admin'],
  'GET /v1/drills': READERS,
  'DELETE /v1/drills/:id': ['admin'],
  'POST /v1/api-keys': ['admin'],
  'GET /v1/api-keys': ['admin'],
  'DELETE /v1/api-keys/:id': ['admin'],
  'POST /v1/halt-keys': ['admin'],
  'GET /v1/halt-keys': ['admin'],
  'DELETE /v1/halt-keys/:id': ['admin'],
  'POST /v1/enrolment-keys': ['admin'],
  'GET /v1/enrolment-keys': ['admin'],
  'DELETE /v1/enrolment-keys/:id': ['admin'],
};

const ID_OF: Record<string, string> = {
  '/v1/agents/:id': newId('agent'),
  '/v1/tasks/:id': newId('task'),
  '/v1/kills/:id': newId('kill'),
  '/v1/enforcement-points/:id': newId('enforcementPoint'),
  '/v1/api-keys/:id': newId('apiKey'),
  '/v1/drills/:id': newId('drill'),
  '/v1/halt-keys/:id': newId('haltKey'),
  '/v1/enrolment-keys/:id': newId('enrolmentKey'),
};

function routesOf(plane: TestControlPlane): string[] {
  const scanner = new MetadataScanner();
  const controllers = plane.plane.app.get(DiscoveryService, { strict: false }).getControllers();
  return controllers.flatMap(({ instance, metatype }) => {
    const base = String(Reflect.getMetadata(PATH_METADATA, metatype as object) ?? '');
    const prototype = Object.getPrototypeOf(instance) as Record<string, object>;
    return scanner
      .getAllMethodNames(prototype)
      .map((name) => prototype[name] as object)
      .filter((handler) => Reflect.hasMetadata(PATH_METADATA, handler))
      .map((handler) => {
        const path = `/${base}/${String(Reflect.getMetadata(PATH_METADATA, handler))}`;
        const method = RequestMethod[Reflect.getMetadata(METHOD_METADATA, handler) as number];
        return `${method} ${path.replaceAll(/\/+/g, '/').replace(/(.)\/$/, '$1')}`;
      });
  });
}

describe('who may call what', () => {
  let plane: TestControlPlane;
  const keys = new Map<string, string>();

  beforeAll(async () => {
    plane = await startTestControlPlane();
    for (const role of KEY_ROLES)
      keys.set(role, (await plane.client.createApiKey({ role, name: role })).key);
    keys.set('enroller', (await plane.client.createEnrolmentKey({ name: 'enroller' })).key);
    const { credential } = await plane.client.spawn({ name: 'agent', initiator: { subject: 'a' } });
    keys.set('agent', credential.token);
  });
  afterAll(() => plane.close());

  const call = (route: string, key: string) => {
    const [method, path] = route.split(' ') as [string, string];
    const filled = path
      .replace(':file', 'console.css')
      .replace(':kind/:id', `agent/${ID_OF['/v1/agents/:id'] as string}`)
      .replace(/^(\/v1\/[a-z-]+\/:id)/, (prefix) => prefix.replace(':id', ID_OF[prefix] as string));
    return plane.call(method, filled, {
      key,
      ...(method === 'POST' ? { body: { nonsense: true } } : {}),
    });
  };

  it('has a row for every route, and a route for every row', () => {
    expect(routesOf(plane).sort()).toEqual(Object.keys(MATRIX).sort());
  });

  it.each(Object.entries(MATRIX))('%s', async (route, allowed) => {
    const anonymous = await call(route, '');
    if (allowed === PUBLIC) return expect(anonymous.status).toBe(200);
    expect(anonymous).toMatchObject({ status: 401, body: { code: 'unauthenticated' } });
    for (const [role, key] of keys) {
      const reply = await call(route, key);
      const refused = reply.status === 403 && reply.body.code === 'forbidden';
      // An allowed role gets as far as its nonsense body or its unknown id.
      const passed = !refused || (role === 'agent' && route.endsWith('/credentials'));
      expect([role, passed]).toEqual([role, allowed.includes(role)]);
    }
    return undefined;
  });

  it.each([
    ['a key that nobody has', 'sek_' + 'A'.repeat(43)],
    ['a key with a space', 'a b'],
    ['an unsigned token', 'eyJhbGciOiJub25lIn0.e30.'],
    ['a token that is no token', 'eyJx.eyJ.x'],
    ['100 KB', 'x'.repeat(15_000)],
  ])('refuses %s with one constant answer', async (_, key) => {
    const reply = await plane.call('GET', '/v1/agents', { key });
    expect(reply).toMatchObject({ status: 401, body: { code: 'unauthenticated' } });
  });

  it('refuses two Authorization headers, and a token in the query', async () => {
    const { request } = await import('node:http');
    const status = await new Promise((resolve, reject) => {
      const call = request(
        `${plane.url}/v1/agents`,
        {
          headers: [
            'Authorization',
            `Bearer ${plane.key}`,
            'authorization',
            `Bearer ${plane.key}`,
            'Host',
            'x',
          ] as never,
        },
        (response) => {
          response.resume();
          resolve(response.statusCode);
        },
      );
      call.on('error', reject).end();
    });
    expect(status).toBe(401);
    const query = await plane.call('GET', `/v1/agents?access_token=${plane.key}`, { key: '' });
    expect(query.status).toBe(401);
  });

  it('ends a key at once, and lets a key that has expired do nothing', async () => {
    const { id, key } = await plane.client.createApiKey({ role: 'admin', name: 'short' });
    expect((await plane.call('GET', '/v1/api-keys', { key })).status).toBe(200);
    expect((await plane.call('DELETE', `/v1/api-keys/${id}`)).status).toBe(204);
    expect((await plane.call('GET', '/v1/api-keys', { key })).status).toBe(401);
    expect((await plane.call('GET', '/v1/api-keys')).status).toBe(200);
  });

  it.each([
    '//v1/agents',
    '/v1//agents',
    '/V1/agents',
    '/v1/agents/',
    '/v1/agents;a=b',
    '/v1/%61gents',
    '/v1/agents/..%2fkills',
  ])('authorises %s as its canonical path, or does not know it', async (path) => {
    const reply = await plane.call('GET', path, { key: '' });
    expect([401, 404, 400]).toContain(reply.status);
  });

  it.each([
    'limit=0',
    'limit=501',
    'limit=x',
    'limit=1&limit=2',
    'cursor=x',
    'cursor=YWd0X3g',
    'tenant=x',
    'state=dead',
    'id[]=1',
  ])('refuses the query %s', async (query) => {
    expect((await plane.call('GET', `/v1/agents?${query}`)).status).toBe(400);
  });

  it('takes a cursor back in the list that gave it out, and nowhere else', async () => {
    for (const name of ['one', 'two']) await plane.client.createApiKey({ role: 'auditor', name });
    const { next_cursor: cursor } = (await plane.call('GET', '/v1/api-keys?limit=1')).body;
    const status = async (path: string): Promise<number> =>
      (await plane.call('GET', `${path}?cursor=${String(cursor)}`)).status;
    expect(await status('/v1/api-keys')).toBe(200);
    for (const elsewhere of ['/v1/agents', '/v1/kills', '/v1/enrolment-keys'])
      expect(await status(elsewhere)).toBe(400);
  });
});
