import { createConnection } from 'node:net';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { EchoUpstream } from '../support/echo-upstream';
import { ask, bearer, httpSidecar, type HttpSidecar } from '../support/http-sidecar';

describe('a request to an upstream of kind http', () => {
  let upstream: EchoUpstream;
  let under: HttpSidecar;
  let token: string;

  beforeAll(async () => {
    upstream = await EchoUpstream.start((request, response) => {
      const to = /\/to\?(.*)$/.exec(request.url ?? '')?.[1];
      if (to === undefined) return false;
      response.writeHead(302, { location: decodeURIComponent(to) }).end();
      return true;
    });
    under = await httpSidecar([
      { name: 'api', url: `${upstream.origin}/base/` },
      {
        name: 'keyed',
        url: upstream.origin,
        tokenFrom: ['authorization', 'x-api-key'],
        credential: { header: 'x-api-key', value: 'the-configured-key' },
      },
    ]);
    token = under.enforcer.agent('a', ['http:*']);
  });
  afterAll(async () => {
    await under.sidecar.close();
    await upstream.close();
  });
  beforeEach(() => void (upstream.seen.length = 0));

  const last = () => upstream.seen.at(-1);

  it('goes to the same path below its url, query and body as they were', async () => {
    const path = "/api/v1/a%20b/?q='1'&%2e";
    const answer = await ask(under.url, path, {
      method: 'PUT',
      headers: bearer(token),
      body: 'what was sent',
    });
    expect(answer.status).toBe(200);
    expect(last()).toMatchObject({
      method: 'PUT',
      url: "/base/v1/a%20b/?q='1'&%2e",
      body: 'what was sent',
      headers: { host: new URL(upstream.origin).host, 'content-length': '13' },
    });
  });

  it.each(['/api', '/', '/other/x', '/%61pi/x', '//api/x', '/x/../api/x', '/api-2/x'])(
    'at %s is nobody’s',
    async (path) => {
      expect((await ask(under.url, path, { headers: bearer(token) })).status).toBe(404);
      expect(upstream.seen).toEqual([]);
    },
  );

  it.each([
    '/api/open/../secret',
    '/api/open/%2e%2e/secret',
    '/api//secret',
    '/api/open%2fsecret',
    '/api/open%5csecret',
    '/api/open\\secret',
    '/api/open/..;/secret',
    '/api/%73ecret',
  ])('that plays with its path is refused before anything is sent: %s', async (path) => {
    const answer = await ask(under.url, path, { headers: bearer(token) });
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body)).toMatchObject({ code: 'bad_request' });
    expect(upstream.seen).toEqual([]);
  });

  it('needs the scope of its method and path', async () => {
    const reader = under.enforcer.agent('reader', ['http:GET:api/v1/*']);
    const status = async (method: string, path: string): Promise<number> =>
      (await ask(under.url, path, { method, headers: bearer(reader) })).status;
    expect(await status('GET', '/api/v1/x')).toBe(200);
    expect(await status('POST', '/api/v1/x')).toBe(403);
    expect(await status('HEAD', '/api/v1/x')).toBe(403);
    expect(await status('GET', '/api/v2/x')).toBe(403);
    expect(await status('GET', '/keyed/v1/x')).toBe(403);
    expect(upstream.seen).toHaveLength(1);
  });

  it.each(['TRACE', 'M-SEARCH'])('by %s is passed on to nobody', async (method) => {
    const answer = await ask(under.url, '/api/x', { method, headers: bearer(token) });
    expect(answer.status).toBe(405);
    expect(upstream.seen).toEqual([]);
  });

  it('shows the upstream neither the token nor what overrides the decision', async () => {
    const headers = {
      ...bearer(token),
      'x-http-method-override': 'DELETE',
      'x-original-url': '/admin',
      'x-forwarded-for': '10.0.0.1',
      x_forwarded_host: 'inside',
      proxy_authorization: 'Basic x',
      'x-copy': `a ${token} b`,
      'x-encoded': token.replaceAll('.', '%2e'),
      'x-kept': 'kept',
      connection: 'x-hop',
      'x-hop': 'hop',
      te: 'trailers',
    };
    await ask(under.url, '/api/x', { headers });
    const seen = last()?.headers ?? {};
    expect(JSON.stringify(seen)).not.toMatch(/token-of|DELETE|admin|10\.0\.0|inside|Basic|hop/);
    expect(seen['x-kept']).toBe('kept');
    expect(seen['host']).toBe(new URL(upstream.origin).host);
  });

  it.each(['/api/x?key=', '/api/x?key=%74', '/api/'])(
    'with its token in the URL is refused: %s',
    async (path) => {
      const rest = path.endsWith('%74') ? token.slice(1) : token;
      const answer = await ask(under.url, `${path}${rest}`, { headers: bearer(token) });
      expect(answer.status).toBe(400);
      expect(upstream.seen).toEqual([]);
    },
  );

  it('carries the configured credential, whatever key the agent sent', async () => {
    await ask(under.url, '/keyed/x', {
      headers: { ...bearer(token), x_api_key: 'mine' },
    });
    expect(last()?.headers).toMatchObject({ 'x-api-key': 'the-configured-key' });
    await ask(under.url, '/keyed/x', { headers: { 'x-api-key': token } });
    expect(last()?.headers).toMatchObject({ 'x-api-key': 'the-configured-key' });
    expect(JSON.stringify(upstream.seen)).not.toMatch(/token-of|mine|authorization/);
  });

  it('takes its token only from where the config lets it stand, and only one', async () => {
    const other = under.enforcer.agent('b', ['http:*']);
    const status = async (path: string, headers: Record<string, string>): Promise<number> =>
      (await ask(under.url, path, { headers })).status;
    expect(await status('/api/x', { 'x-api-key': token })).toBe(401);
    expect(await status('/keyed/x', { 'x-api-key': token, ...bearer(token) })).toBe(200);
    expect(await status('/keyed/x', { 'x-api-key': other, ...bearer(token) })).toBe(401);
    expect(await status('/keyed/x', { 'x-api-key': 'sk-theirs', ...bearer(token) })).toBe(401);
    expect(await status('/keyed/x', {})).toBe(401);
  });

  it('by HEAD brings headers alone', async () => {
    const answer = await ask(under.url, '/api/x', { method: 'HEAD', headers: bearer(token) });
    expect(answer).toMatchObject({ status: 200, body: '' });
    expect(Number(answer.headers['content-length'])).toBeGreaterThan(10);
  });

  it('asks for leave to send its body, and gets none when it is refused', async () => {
    const expecting = async (path: string): Promise<[continued: boolean, status: number]> => {
      const { hostname, port } = new URL(under.url);
      const sent = request({
        ...{ hostname, port, path, method: 'POST', agent: false },
        headers: { ...bearer(token), expect: '100-continue', 'content-length': '4' },
      });
      let continued = false;
      sent.on('continue', () => {
        continued = true;
        sent.end('body');
      });
      sent.flushHeaders();
      const [response] = (await once(sent, 'response')) as [IncomingMessage];
      await text(response);
      sent.destroy();
      return [continued, response.statusCode ?? 0];
    };
    expect(await expecting('/api/x')).toEqual([true, 200]);
    expect(last()).toMatchObject({ body: 'body' });
    expect(last()?.headers).not.toHaveProperty('expect');
    expect(await expecting('/api//x')).toEqual([false, 400]);
  });

  it.each([
    ['/base/next?a=1', '/api/next?a=1'],
    ['next', '/api/v1/next'],
    ['ORIGIN/base/next', '/api/next'],
  ])('that is redirected to %s within the upstream stays with the sidecar', async (to, own) => {
    const location = encodeURIComponent(to.replace('ORIGIN', upstream.origin));
    const answer = await ask(under.url, `/api/v1/to?${location}`, { headers: bearer(token) });
    expect(answer).toMatchObject({ status: 302, headers: { location: own } });
    expect(upstream.seen).toEqual([]);
  });

  it.each([
    'http://169.254.169.254/latest',
    '//elsewhere/x',
    '/outside',
    '/base/../outside',
    'file:///etc/passwd',
  ])('that is redirected to %s is led nowhere', async (to) => {
    const path = `/api/v1/to?${encodeURIComponent(to)}`;
    const answer = await ask(under.url, path, { headers: bearer(token) });
    expect(answer.status).toBe(502);
    expect(answer.headers).not.toHaveProperty('location');
  });

  it.each([
    ['two lengths', 'Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd'],
    ['a length and chunks', 'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['an encoding that hides chunks', 'Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n'],
    ['chunks first', 'Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n'],
    ['a signed length', 'Content-Length: +4\r\n\r\nabcd'],
    ['a space before the colon', 'Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n'],
    ['a folded header', 'X-A: b\r\n Transfer-Encoding: chunked\r\n\r\n'],
    ['a line end of its own', 'X-A: b\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    ['a bad chunk', 'Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n'],
  ])('with %s reaches nobody', async (_what, rest) => {
    const smuggled = `GET /api/smuggled HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`;
    const reply = await raw(
      `POST /api/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n${rest}${smuggled}`,
    );
    expect(reply).toMatch(/^HTTP\/1\.1 400 /);
    expect(upstream.seen).toEqual([]);
  });

  it('that names a whole URL, or a tunnel, chooses no host', async () => {
    const head = `Host: x\r\nAuthorization: Bearer ${token}\r\nConnection: close\r\n\r\n`;
    expect(await raw(`GET ${upstream.origin}/base/x HTTP/1.1\r\n${head}`)).toMatch(/ 40[04] /);
    expect(await raw(`GET http://x/api/x HTTP/1.1\r\n${head}`)).toMatch(/ 40[04] /);
    expect(await raw(`CONNECT ${new URL(upstream.origin).host} HTTP/1.1\r\n${head}`)).not.toMatch(
      / 200 /,
    );
    expect(upstream.seen).toEqual([]);
  });

  it('that offers HTTP/2 is served as it is', async () => {
    const reply = await raw(
      `POST /api/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Length: 4\r\n` +
        'Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\nbody',
    );
    expect(reply).toMatch(/^HTTP\/1\.1 200 /);
    expect(last()).toMatchObject({ method: 'POST', url: '/base/x', body: 'body' });
    expect(last()?.headers).not.toHaveProperty('upgrade');
  });

  async function raw(bytes: string): Promise<string> {
    const { hostname, port } = new URL(under.url);
    const socket = createConnection({ host: hostname, port: Number(port) });
    socket.on('error', () => undefined);
    socket.write(bytes);
    return await text(socket).catch(() => '');
  }
});
