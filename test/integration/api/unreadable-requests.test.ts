import { connect } from 'node:net';
import { ProblemBody } from '@sever/protocol';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';

describe('requests that cannot be read', () => {
  let plane: TestControlPlane;
  beforeAll(async () => void (plane = await startTestControlPlane()));
  afterAll(() => plane.close());

  /** Sends these bytes, and reads until the other side closes. */
  const send = async (bytes: string): Promise<string> => {
    const { hostname, port } = new URL(plane.url);
    const socket = connect({ host: hostname, port: Number(port) });
    socket.write(bytes);
    let answer = '';
    for await (const chunk of socket) answer += String(chunk);
    return answer;
  };
  const get = (path: string): Promise<string> =>
    send(
      `GET ${path} HTTP/1.1\r\nHost: sever\r\nConnection: close\r\nAuthorization: Bearer ${plane.key}\r\n\r\n`,
    );

  it('are told apart from one that can', async () => {
    expect(await get('/v1/agents')).toMatch(/^HTTP\/1\.1 200 /);
  });

  it.each([
    ['a path with half an escape', () => get('/v1/agents/%zz'), 400, 'bad_request'],
    ['a path that is no UTF-8', () => get('/v1/agents/%ff%fe'), 400, 'bad_request'],
    ['an id of 600 characters', () => get(`/v1/agents/${'a'.repeat(600)}`), 414, 'uri_too_long'],
    ['headers of 20 KB', () => get(`/${'a'.repeat(20_000)}`), 431, 'headers_too_large'],
    ['a request line that is none', () => send('kill everything\r\n\r\n'), 400, 'bad_request'],
    ['a method that is none', () => send('STOP / HTTP/1.1\r\n\r\n'), 400, 'bad_request'],
    [
      'a header without a name',
      () => send('GET /v1/agents HTTP/1.1\r\nHost: s\r\n: x\r\n\r\n'),
      400,
      'bad_request',
    ],
    [
      'two lengths for one body',
      () =>
        send(
          'POST /v1/kills HTTP/1.1\r\nHost: s\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}',
        ),
      400,
      'bad_request',
    ],
  ])('are answered with a problem: %s', async (_what, ask, status, code) => {
    const [head = '', body = ''] = (await ask()).split('\r\n\r\n');
    expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${status} \\w`));
    expect(head.toLowerCase()).toContain('content-type: application/problem+json');
    expect(ProblemBody.parse(JSON.parse(body))).toMatchObject({
      status,
      code,
      type: `urn:sever:problem:${code}`,
    });
  });

  it.each([
    'text/plain',
    'garbage',
    'json',
    ';',
    'application/json; charset=utf-16',
    'application/json;charset="UTF-16LE"',
    'application/json; charset=utf-8; charset=latin1',
  ])('include bodies that are sent as %j, except where something is stopped', async (type) => {
    const spawn = { name: 'root', initiator: { subject: 'alice' }, scopes: ['tool:*'] };
    const headers = { 'content-type': type };
    const elsewhere = await plane.call('POST', '/v1/agents', {
      headers,
      body: JSON.stringify(spawn),
    });
    expect(elsewhere).toMatchObject({ status: 415, body: { code: 'unsupported_media_type' } });

    const [one, other] = [await plane.client.spawn(spawn), await plane.client.spawn(spawn)];
    const kill = await plane.call('POST', `/v1/agents/${one.agent.id}/kill?wait=0`, {
      headers,
      body: '{"reason":"03:12"}',
    });
    expect(kill.status).toBeLessThan(300);
    const subject = { kind: 'agent', id: other.agent.id };
    const escaped = await plane.call('POST', '/v1/%6bills?wait=0', {
      headers,
      body: JSON.stringify({ subject, reason: '03:13' }),
    });
    expect(escaped.status).toBeLessThan(300);
    for (const { agent } of [one, other])
      expect((await plane.client.getAgent(agent.id)).state).toBe('killed');
    const notJson = await plane.call('POST', '/v1/kills', { headers, body: 'reason=x' });
    expect(notJson).toMatchObject({ status: 400, body: { code: 'bad_request' } });
  });

  it.each(['application/json; charset=utf-8', 'application/json;charset="UTF-8"'])(
    'do not include bodies that are sent as %j',
    async (type) => {
      const reply = await plane.call('POST', '/v1/agents', {
        headers: { 'content-type': type },
        body: '{"name":"root","initiator":{"subject":"alice"},"scopes":["tool:*"]}',
      });
      expect(reply.status).toBe(201);
    },
  );
});
