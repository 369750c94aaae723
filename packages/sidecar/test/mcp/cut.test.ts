import { once } from 'node:events';
import { request as httpRequest, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { Agent, buildConnector } from 'undici';
import { eventually } from '../../../../test/support/eventually';
import { agentClient } from '../support/agent-client';
import { EventReader } from '../support/event-reader';
import { JSON_RPC, postMessage, toolCall } from '../support/post-message';
import { RawUpstream } from '../support/raw-upstream';
import { sidecarBefore, type SidecarUnderTest } from '../support/sidecar-under-test';
import { ToolServer } from '../support/tool-server';

const EVENTS = { 'content-type': 'text/event-stream' };
const REVOKED = { code: -32003, data: { code: 'agent_revoked', terminal: true, status: 403 } };
const EVER = 1_000_000;

describe('a call in flight', () => {
  let tools: ToolServer;
  let raw: RawUpstream;
  /** Responses that the raw upstream has not ended; a test writes to them. */
  let held: ServerResponse[];
  let under: SidecarUnderTest;
  let sockets: Socket[];
  let dispatcher: Agent;

  beforeEach(async () => {
    tools = await ToolServer.start();
    held = [];
    raw = await RawUpstream.start((_request, response) => void held.push(response));
    sockets = [];
    const connector = buildConnector({ timeout: 1_000 });
    dispatcher = new Agent({
      connect: (options, done) =>
        connector(options, (...outcome) => {
          if (outcome[1] !== null) sockets.push(outcome[1]);
          done(...outcome);
        }),
    });
    under = await sidecarBefore(
      { tools: tools.url, raw: raw.url },
      { connect: () => dispatcher, limits: { eventBytes: 64 * 1_024 } },
    );
  });
  afterEach(async () => {
    await under.sidecar.close();
    await Promise.all([tools.close(), raw.close()]);
  });

  const agent = (id: string): string => under.enforcer.agent(id, ['tool:*']);

  async function rawCall(
    id: string,
    headers: Record<string, string>,
  ): Promise<[Response, ServerResponse]> {
    const from = held.length;
    const pending = postMessage(`${under.url}/raw`, agent(id), toolCall(id, 'work'));
    const upstream = await eventually(() => present(held[from]));
    upstream.writeHead(200, headers).flushHeaders();
    return [await pending, upstream];
  }

  it("is cut at its agent's kill with the refusal as the last event, while a neighbour's stream goes on", async () => {
    const doomed = await agentClient(`${under.url}/tools`, agent('doomed'));
    const neighbour = await agentClient(`${under.url}/tools`, agent('neighbour'));
    let ticks = 0;
    const run = (client: typeof doomed, times: number, onprogress: () => void) =>
      client.callTool({ name: 'tick', arguments: { times } }, undefined, { onprogress });
    const cut = run(doomed, EVER, () => undefined).catch((error: unknown) => error);
    const whole = run(neighbour, 60, () => void (ticks += 1));
    await eventually(() => expect(ticks).toBeGreaterThan(2));
    const before = tools.seen.filter(({ cutOff }) => cutOff).length;

    under.enforcer.kill('doomed', 'kil_7');

    expect(await cut).toMatchObject({
      code: -32003,
      data: { code: 'agent_revoked', kill_id: 'kil_7' },
    });
    await eventually(() =>
      // Its call and the stream on which it listened.
      expect(tools.seen.filter(({ cutOff }) => cutOff).length).toBe(before + 2),
    );
    expect((await whole).content).toEqual([{ type: 'text', text: 'ticked' }]);
    expect(ticks).toBe(60);
    await expect(doomed.listTools()).rejects.toThrow('The agent was revoked');
    await Promise.all([doomed.close(), neighbour.close()]);
  });

  it('has its upstream socket closed before it is reported as finished', async () => {
    const [response, upstream] = await rawCall('one', EVENTS);
    const reader = new EventReader(response);
    const [survivor] = await rawCall('two', EVENTS);
    const other = new EventReader(survivor);
    const closedAtFinish: boolean[] = [];
    for (const call of under.enforcer.calls) {
      call.onFinish = () => void closedAtFinish.push(sockets[0]?.destroyed ?? false);
    }
    under.enforcer.kill('one');
    expect(await reader.end).toBe('ended');
    await once(upstream, 'close');
    await eventually(() => expect(under.enforcer.finished).toHaveLength(1));
    expect(closedAtFinish).toEqual([true]);
    expect(sockets[1]?.destroyed).toBe(false);
    expect(await (await fetch(`${under.url}/metrics`)).text()).toContain(
      'sever_sidecar_cut_calls_total{code="agent_revoked"} 1',
    );
    held[1]?.end('data: {"alive":true}\n\n');
    expect(await other.end).toBe('ended');
    expect(other.events).toEqual([{ alive: true }]);
  });

  it('is never cut inside an event', async () => {
    const [response, upstream] = await rawCall('half', EVENTS);
    const reader = new EventReader(response);
    upstream.write('data: {"whole":1}\n\ndata: {"half":');
    await eventually(() => expect(reader.events).toHaveLength(1));
    under.enforcer.kill('half');
    expect(await reader.end).toBe('ended');
    expect(reader.events).toHaveLength(2);
    expect(reader.events).toMatchObject([
      { whole: 1 },
      { jsonrpc: '2.0', id: 'half', error: REVOKED },
    ]);
    expect(reader.text).not.toContain('half":');
  });

  it('loses its socket when an event too long to be kept is under way', async () => {
    const [response, upstream] = await rawCall('long', EVENTS);
    const reader = new EventReader(response);
    upstream.write(`data: "${'x'.repeat(200 * 1_024)}`);
    await eventually(() => expect(reader.text.length).toBeGreaterThan(100 * 1_024));
    under.enforcer.kill('long');
    expect(await reader.end).toBe('broken');
  });

  it('hands on an event longer than it keeps as it was sent', async () => {
    const [response, upstream] = await rawCall('patient', EVENTS);
    const reader = new EventReader(response);
    const long = 'x'.repeat(300 * 1_024);
    upstream.write(`data: "${long}`);
    upstream.end('"\n\ndata: 2\n\n');
    expect(await reader.end).toBe('ended');
    expect(reader.events).toEqual([long, 2]);
  });

  it('gets the refusal as its response when none has begun', async () => {
    const pending = postMessage(`${under.url}/raw`, agent('early'), toolCall(4, 'work'));
    const upstream = await eventually(() => present(held[0]));
    under.enforcer.kill('early');
    const response = await pending;
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ jsonrpc: '2.0', id: 4, error: REVOKED });
    await eventually(() => expect(upstream.closed).toBe(true));
  });

  it('gets the refusal as its response when only headers of a plain one have come', async () => {
    const pending = postMessage(`${under.url}/raw`, agent('headers'), toolCall(4, 'work'));
    const upstream = await eventually(() => present(held[0]));
    upstream.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
    await eventually(() => expect(under.enforcer.calls.size).toBe(1));
    under.enforcer.kill('headers');
    expect((await pending).status).toBe(403);
  });

  it('loses its socket in the midst of a plain response', async () => {
    const from = held.length;
    const pending = postMessage(`${under.url}/raw`, agent('plain'), toolCall(1, 'work'));
    const upstream = await eventually(() => present(held[from]));
    const long = `{"jsonrpc":${' '.repeat(100 * 1_024)}`;
    upstream.writeHead(200, { 'content-type': 'application/json' }).write(long);
    const reader = new EventReader(await pending);
    await eventually(() => expect(reader.text.length).toBe(long.length));
    under.enforcer.kill('plain');
    expect(await reader.end).toBe('broken');
    await eventually(() => expect(upstream.closed).toBe(true));
  });

  it('is refused whole while a short plain response is still kept for a look at it', async () => {
    const pending = postMessage(`${under.url}/raw`, agent('short'), toolCall(1, 'work'));
    const upstream = await eventually(() => present(held[0]));
    upstream.writeHead(200, { 'content-type': 'application/json' }).write('{"jsonrpc":');
    under.enforcer.kill('short');
    const response = await pending;
    expect(response.status).toBe(403);
    expect(await response.json()).toMatchObject({ id: 1, error: REVOKED });
    await eventually(() => expect(upstream.closed).toBe(true));
  });

  it('is cut at a suspension of its tool, while a call of another tool goes on', async () => {
    const [response] = await rawCall('user', EVENTS);
    const reader = new EventReader(response);
    const client = await agentClient(`${under.url}/tools`, agent('other-user'));
    const other = client.callTool({ name: 'tick', arguments: { times: 30 } });
    await eventually(() => expect(tools.ticks).toBeGreaterThan(1));
    under.enforcer.suspend('tool:raw/work');
    expect(await reader.end).toBe('ended');
    expect(reader.events).toMatchObject([
      { id: 'user', error: { data: { code: 'tool_suspended', terminal: false } } },
    ]);
    expect((await other).content).toEqual([{ type: 'text', text: 'ticked' }]);
    await client.close();
  });

  it('is cut while it only listens for what the server may say', async () => {
    const listen = fetch(`${under.url}/raw`, {
      headers: { accept: 'text/event-stream', authorization: `Bearer ${agent('listener')}` },
    });
    const upstream = await eventually(() => present(held[0]));
    upstream.writeHead(200, EVENTS).write(': welcome\n\n');
    const reader = new EventReader(await listen);
    await eventually(() => expect(reader.text).toContain('welcome'));
    under.enforcer.kill('listener');
    expect(await reader.end).toBe('ended');
    expect(reader.events).toMatchObject([{ jsonrpc: '2.0', error: REVOKED }]);
    await eventually(() => expect(upstream.closed).toBe(true));
  });

  it('is cut in the upload of its message, of which nothing reaches the upstream', async () => {
    const upload = httpRequest(`${under.url}/raw`, {
      method: 'POST',
      headers: { ...JSON_RPC, authorization: `Bearer ${agent('sender')}` },
    });
    upload.on('error', () => undefined);
    upload.write('{"jsonrpc":"2.0","id":1,');
    await eventually(() => expect(under.enforcer.calls.size).toBe(1));
    under.enforcer.kill('sender');
    const [response] = (await once(upload, 'response')) as [{ statusCode: number; resume(): void }];
    response.resume();
    expect(response.statusCode).toBe(403);
    await eventually(() => expect(under.enforcer.finished).toHaveLength(1));
    expect(held).toHaveLength(0);
    upload.destroy();
  });

  it('is waited for only briefly when its agent does not read', async () => {
    const { hostname, port } = new URL(under.url);
    const socket = connect(Number(port), hostname);
    const body = JSON.stringify(toolCall(1, 'work'));
    socket.pause();
    socket.on('error', () => undefined);
    socket.write(
      `POST /raw HTTP/1.1\r\nHost: s\r\nContent-Type: application/json\r\nAuthorization: Bearer ${agent('deaf')}\r\n` +
        `Content-Length: ${body.length}\r\n\r\n${body}`,
    );
    const upstream = await eventually(() => present(held[0]));
    upstream.writeHead(200, EVENTS);
    const event = `data: "${'x'.repeat(60 * 1_024)}"\n\n`;
    // Until everything between the upstream and the agent is full.
    while (upstream.writableLength < 1_024 * 1_024) {
      upstream.write(event);
      await new Promise((resolve) => setImmediate(resolve));
    }
    under.enforcer.kill('deaf');
    await eventually(() => expect(under.enforcer.finished).toHaveLength(1));
    await eventually(() => expect(upstream.closed).toBe(true));
    socket.destroy();
  });

  describe('without a lease', () => {
    it('passes not a byte until it is released, and then all of them', async () => {
      const [response, upstream] = await rawCall('held', EVENTS);
      const reader = new EventReader(response);
      upstream.write('data: 1\n\n');
      await eventually(() => expect(reader.events).toEqual([1]));
      under.enforcer.lapse();
      upstream.write('data: 2\n\n');
      // A neighbour without a hold shows that what was written meanwhile would have come.
      await roundTrip(under);
      expect(reader.events).toEqual([1]);
      under.enforcer.recover();
      upstream.end('data: 3\n\n');
      expect(await reader.end).toBe('ended');
      expect(reader.events).toEqual([1, 2, 3]);
    });

    it('is cut if it was revoked meanwhile, and what was held back is never seen', async () => {
      const [response, upstream] = await rawCall('held', EVENTS);
      const reader = new EventReader(response);
      under.enforcer.lapse();
      upstream.write('data: 2\n\n');
      await roundTrip(under);
      under.enforcer.kill('held');
      expect(await reader.end).toBe('ended');
      expect(reader.events).toMatchObject([{ id: 'held', error: REVOKED }]);
    });
  });

  it('ends upstream too when its agent goes away', async () => {
    const leaving = new AbortController();
    const pending = fetch(`${under.url}/raw`, {
      method: 'POST',
      signal: leaving.signal,
      headers: { ...JSON_RPC, authorization: `Bearer ${agent('leaving')}` },
      body: JSON.stringify(toolCall(1, 'work')),
    }).catch(() => undefined);
    const upstream = await eventually(() => present(held[0]));
    leaving.abort();
    await pending;
    await eventually(() => expect(upstream.closed).toBe(true));
    await eventually(() => expect(under.enforcer.calls.size).toBe(0));
    expect(under.enforcer.finished).toHaveLength(0);
  });

  it('breaks towards its agent when the upstream breaks', async () => {
    const [response, upstream] = await rawCall('unlucky', EVENTS);
    const reader = new EventReader(response);
    upstream.destroy();
    expect(await reader.end).toBe('broken');
  });

  it('is refused, drained and at last cut when the sidecar stops', async () => {
    const [response] = await rawCall('last', EVENTS);
    const reader = new EventReader(response);
    const closed = under.sidecar.close();
    expect((await fetch(`${under.url}/readyz`)).status).toBe(503);
    expect((await fetch(`${under.url}/healthz`)).status).toBe(200);
    const late = await postMessage(`${under.url}/raw`, agent('late'), toolCall(1, 'work'));
    expect(late.status).toBe(503);
    expect(await late.json()).toMatchObject({ error: { data: { code: 'unavailable' } } });
    await closed;
    expect(await reader.end).toBe('ended');
    expect(reader.events).toMatchObject([{ id: 'last', error: { data: { code: 'unavailable' } } }]);
    expect(under.enforcer.closed).toBe(true);
  });
});

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('not there yet');
  return value;
}

/** Long enough for a byte to go through: another exchange with the same process went and came. */
async function roundTrip({ url }: SidecarUnderTest): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await (await fetch(`${url}/healthz`)).text();
}
