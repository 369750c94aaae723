import { once } from 'node:events';
import { request, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { text } from 'node:stream/consumers';
import { eventually } from '../../../../test/support/eventually';
import { EchoUpstream } from '../support/echo-upstream';
import { EventReader } from '../support/event-reader';
import { ask, bearer, httpSidecar, type HttpSidecar } from '../support/http-sidecar';

const MIB = 1_024 * 1_024;
/** Far beyond what sockets keep on the way. */
const LARGE = 64 * MIB;

interface Held {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  received: number;
  /** `broken`: it ended before its time. */
  readonly upload: Promise<'whole' | 'broken'>;
}

describe('a running call through an upstream of kind http', () => {
  let upstream: EchoUpstream;
  let under: HttpSidecar;
  /** Requests that the upstream has not answered by itself; a test does. */
  let held: Held[];

  beforeEach(async () => {
    held = [];
    upstream = await EchoUpstream.start((request, response) => {
      const one: Held = { request, response, received: 0, upload: uploadTo(() => one) };
      held.push(one);
      return true;
    });
    under = await httpSidecar([
      { name: 'api', url: upstream.origin },
      { name: 'slow', url: upstream.origin, timeouts: { headersMs: 1_000, idleMs: 1_000 } },
    ]);
  });
  afterEach(async () => {
    await under.sidecar.close();
    await upstream.close();
  });

  async function uploadTo(of: () => Held): Promise<'whole' | 'broken'> {
    await Promise.resolve();
    const one = of();
    if (one.request.url === '/unread') return 'broken';
    one.request.on('data', (chunk: Buffer) => void (one.received += chunk.length));
    return new Promise((resolve) => {
      one.request.once('end', () => resolve('whole'));
      one.request.once('close', () => resolve(one.request.complete ? 'whole' : 'broken'));
      one.request.on('error', () => resolve('broken'));
    });
  }

  const agent = (id: string) => bearer(under.enforcer.agent(id, ['http:*']));

  async function nth(at: number): Promise<Held> {
    return eventually(() => {
      const one = held[at];
      if (one === undefined) throw new Error('nothing came yet');
      return one;
    });
  }

  function upload(id: string, path = '/api/upload') {
    const { hostname, port } = new URL(under.url);
    const sent = request({
      ...{ hostname, port, path, method: 'POST', agent: false },
      headers: { ...agent(id), 'content-length': String(LARGE) },
    });
    sent.setMaxListeners(0);
    let written = 0;
    let closed = false;
    sent.on('error', () => undefined).on('close', () => (closed = true));
    const answer = once(sent, 'response').then(async ([response]) => ({
      status: (response as IncomingMessage).statusCode,
      body: await text(response as IncomingMessage).catch(() => ''),
    }));
    answer.catch(() => undefined);
    const pump = async (): Promise<void> => {
      while (written < LARGE && !closed) {
        written += MIB;
        if (!sent.write(Buffer.alloc(MIB))) {
          await Promise.race([once(sent, 'drain'), once(sent, 'close')]).catch(() => undefined);
        }
      }
      if (!closed) sent.end();
    };
    void pump();
    return { sent, answer, written: () => written };
  }

  async function stream(id: string, at: number, contentType = 'text/event-stream') {
    const pending = fetch(`${under.url}/api/stream`, { headers: agent(id) });
    const { response } = await nth(at);
    response.writeHead(200, { 'content-type': contentType }).write('data: {"n":1}\n\n');
    return { response, reader: new EventReader(await pending) };
  }

  it('ends its stream with the refusal as the last event, while a neighbour’s goes on', async () => {
    const doomed = await stream('doomed', 0);
    const neighbour = await stream('neighbour', 1);
    await eventually(() => expect(doomed.reader.events).toHaveLength(1));
    under.enforcer.kill('doomed', 'kil_7');
    expect(await doomed.reader.end).toBe('ended');
    expect(doomed.reader.text).toMatch(/\n\nevent: error\ndata: [^\n]*\n\n$/);
    expect(doomed.reader.events.at(-1)).toMatchObject({
      code: 'agent_revoked',
      kill_id: 'kil_7',
      terminal: true,
      error: { type: 'permission_error', message: 'The agent was revoked' },
    });
    await eventually(() => expect(doomed.response.destroyed).toBe(true));
    neighbour.response.end('data: {"n":2}\n\n');
    expect(await neighbour.reader.end).toBe('ended');
    expect(neighbour.reader.events).toEqual([{ n: 1 }, { n: 2 }]);
  });

  it('loses its socket in the midst of anything but events', async () => {
    const { reader } = await stream('doomed', 0, 'application/octet-stream');
    const other = await stream('neighbour', 1, 'application/octet-stream');
    await eventually(() => expect(reader.text).not.toBe(''));
    under.enforcer.kill('doomed');
    expect(await reader.end).toBe('broken');
    other.response.end();
    expect(await other.reader.end).toBe('ended');
  });

  it('is refused whole when its response has not begun', async () => {
    const pending = ask(under.url, '/api/x', { headers: agent('doomed') });
    await nth(0);
    under.enforcer.kill('doomed', 'kil_7');
    const { status, headers, body } = await pending;
    expect([status, headers['content-type']]).toEqual([403, 'application/problem+json']);
    expect(JSON.parse(body)).toMatchObject({ code: 'agent_revoked', kill_id: 'kil_7' });
  });

  it('has its upload cut, while a neighbour’s arrives whole', async () => {
    const doomed = upload('doomed', '/api/unread');
    const theirs = await nth(0);
    await eventually(() => expect(doomed.written()).toBeGreaterThan(MIB));
    under.enforcer.kill('doomed');
    await eventually(() => expect(under.enforcer.finished).toHaveLength(1));
    // A server learns of the end by reading up to it.
    theirs.request.resume();
    await eventually(() => expect(theirs.request.destroyed).toBe(true));
    expect(theirs.request.complete).toBe(false);
    expect(doomed.written()).toBeLessThan(LARGE);

    const neighbour = upload('neighbour');
    const ours = await nth(1);
    expect(await ours.upload).toBe('whole');
    ours.response.end('thanks');
    expect(await neighbour.answer).toEqual({ status: 200, body: 'thanks' });
    expect(ours.received).toBe(LARGE);
  });

  it('keeps no large body in the sidecar: whoever sends waits for whoever reads', async () => {
    const sender = upload('sender', '/api/unread');
    const { request: unread, response } = await nth(0);
    let before = -1;
    await eventually(() => {
      const seen = sender.written();
      const still = seen === before;
      before = seen;
      expect(still).toBe(true);
    });
    expect(sender.written()).toBeLessThan(LARGE / 2);
    unread.resume();
    await once(unread, 'end');
    // The other way round: a reader that does not read stops the upstream.
    let sent = 0;
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    const push = (): void => {
      while (sent < LARGE) {
        sent += MIB;
        if (!response.write(Buffer.alloc(MIB))) return;
      }
      response.end();
    };
    response.on('drain', push);
    const arrived = once(sender.sent, 'response') as Promise<[IncomingMessage]>;
    push();
    const [body] = await arrived;
    expect(sent).toBeLessThan(LARGE);
    void body;
    expect(await sender.answer).toMatchObject({ status: 200 });
    expect(sent).toBe(LARGE);
  });

  it('passes not a byte either way while it is held, and all of them afterwards', async () => {
    const sender = upload('held');
    const one = await nth(0);
    await eventually(() => expect(one.received).toBeGreaterThan(0));
    under.enforcer.lapse();
    // What was on the way has arrived once nothing more does.
    let before = -1;
    await eventually(() => {
      const still = one.received === before;
      before = one.received;
      expect(still).toBe(true);
    });
    await delay(100);
    expect(one.received).toBe(before);
    expect(before).toBeLessThan(LARGE);
    under.enforcer.recover();
    expect(await one.upload).toBe('whole');
    under.enforcer.lapse();
    one.response.end('answer');
    expect(await Promise.race([sender.answer, delay(200, 'held')])).toBe('held');
    under.enforcer.recover();
    expect(await sender.answer).toEqual({ status: 200, body: 'answer' });
  });

  it('whose agent goes away takes its upstream’s socket along', async () => {
    const sender = upload('leaver', '/api/unread');
    const { request: theirs } = await nth(0);
    sender.sent.destroy();
    theirs.resume();
    await eventually(() => expect(under.enforcer.calls.size).toBe(0));
    await eventually(() => expect(theirs.destroyed).toBe(true));
    expect(theirs.complete).toBe(false);
  });

  it('gets the answer that the upstream gives before the body has come', async () => {
    const sender = upload('early', '/api/unread');
    const { response } = await nth(0);
    response.writeHead(413).end('too large');
    expect(await sender.answer).toMatchObject({ status: 413 });
  });

  it('ends after the time that its upstream is given, and without one does not', async () => {
    const patient = fetch(`${under.url}/api/x`, { headers: agent('patient') });
    await nth(0);
    const late = await ask(under.url, '/slow/x', { headers: agent('late') });
    expect(late.status).toBe(502);
    const silent = ask(under.url, '/slow/y', { headers: agent('silent') });
    (await nth(2)).response.writeHead(200).write('half');
    await expect(silent).rejects.toThrow();
    held[0]?.response.end('at last');
    expect(await (await patient).text()).toBe('at last');
  }, 20_000);
});
