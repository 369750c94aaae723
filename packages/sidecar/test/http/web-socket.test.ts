import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { createConnection, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket } from 'undici';
import { eventually } from '../../../../test/support/eventually';
import { EchoUpstream } from '../support/echo-upstream';
import { bearer, httpSidecar, type HttpSidecar } from '../support/http-sidecar';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** A text frame as a server sends it, of less than 126 bytes. */
function frame(text: string): Buffer {
  return Buffer.concat([Buffer.from([0x81, Buffer.byteLength(text)]), Buffer.from(text)]);
}

describe('a WebSocket through an upstream of kind http', () => {
  let upstream: EchoUpstream;
  let under: HttpSidecar;
  let opened: { request: IncomingMessage; socket: Socket; received: Buffer[] }[];

  beforeEach(async () => {
    opened = [];
    upstream = await EchoUpstream.start();
    upstream.http.on('upgrade', (request: IncomingMessage, socket: Socket) => {
      if (request.url === '/refuses') return void socket.end('HTTP/1.1 403 No\r\n\r\n');
      const key = createHash('sha1').update(`${request.headers['sec-websocket-key']}${GUID}`);
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
          `Sec-WebSocket-Accept: ${key.digest('base64')}\r\n\r\n`,
      );
      const received: Buffer[] = [];
      socket.on('data', (chunk) => received.push(chunk)).on('error', () => undefined);
      opened.push({ request, socket, received });
    });
    under = await httpSidecar([
      { name: 'api', url: upstream.origin, credential: { header: 'x-key', value: 'configured' } },
    ]);
  });
  afterEach(async () => {
    await under.sidecar.close();
    for (const { socket } of opened) socket.destroy();
    await upstream.close();
  });

  const agent = (id: string, scopes = ['http:*']) => bearer(under.enforcer.agent(id, scopes));

  async function connect(id: string) {
    const at = opened.length;
    const client = new WebSocket(`${under.url.replace('http', 'ws')}/api/live`, {
      headers: agent(id),
    });
    const messages: unknown[] = [];
    client.onmessage = ({ data }) => void messages.push(data);
    const closed = new Promise<number>((resolve) => {
      client.onclose = ({ code }) => resolve(code);
    });
    await new Promise((resolve, reject) => {
      client.onopen = resolve;
      client.onerror = reject;
    });
    const far = opened[at];
    if (far === undefined) throw new Error('it did not reach the upstream');
    return { client, messages, closed, far };
  }

  it('passes frames both ways, with the configured credential and without the token', async () => {
    const { client, messages, far } = await connect('a');
    far.socket.write(frame('hello'));
    await eventually(() => expect(messages).toEqual(['hello']));
    client.send('to you');
    await eventually(() => expect(Buffer.concat(far.received).length).toBe(6 + 'to you'.length));
    expect(far.request.url).toBe('/live');
    expect(far.request.headers['x-key']).toBe('configured');
    expect(JSON.stringify(far.request.rawHeaders)).not.toContain('token-of');
    far.socket.end();
    await eventually(() => expect(under.enforcer.calls.size).toBe(0));
  });

  it('is closed at both ends by a kill, while a neighbour’s goes on', async () => {
    const doomed = await connect('doomed');
    const neighbour = await connect('neighbour');
    under.enforcer.kill('doomed');
    expect(await doomed.closed).toBe(1006);
    await eventually(() => expect(doomed.far.socket.readableEnded).toBe(true));
    await eventually(() => expect(under.enforcer.finished).toHaveLength(1));
    neighbour.far.socket.write(frame('still here'));
    await eventually(() => expect(neighbour.messages).toEqual(['still here']));
    await expect(connect('doomed')).rejects.toBeDefined();
  });

  it('is held either way without a lease', async () => {
    const { client, messages, far } = await connect('a');
    under.enforcer.lapse();
    client.send('held');
    far.socket.write(frame('held'));
    await delay(150);
    expect([messages, far.received]).toEqual([[], []]);
    under.enforcer.recover();
    await eventually(() => expect(messages).toEqual(['held']));
    await eventually(() => expect(far.received).not.toEqual([]));
  });

  it('counts as a write, and takes the scope of its path', async () => {
    const reply = async (headers: Record<string, string>, path = '/api/live'): Promise<string> => {
      const { hostname, port } = new URL(under.url);
      const socket = createConnection({ host: hostname, port: Number(port) });
      const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
      socket.write(
        `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
          `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${lines.join('')}\r\n`,
      );
      const [first] = (await once(socket, 'data')) as [Buffer];
      const [status = ''] = first.toString().split('\r\n');
      socket.destroy();
      return status;
    };
    expect(await reply({})).toContain(' 401 ');
    expect(await reply(agent('narrow', ['http:GET:api/other']))).toContain(' 403 ');
    expect(await reply(agent('a'), '/api/x/../live')).toContain(' 400 ');
    expect(await reply(agent('a'), '/api/refuses')).toContain(' 502 ');
    expect(opened).toEqual([]);
    expect(await reply(agent('a'))).toContain(' 101 ');
  });
});
