import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { eventually } from '../../support/eventually';
import { ChaosProxy } from './chaos-proxy';

/** One end of a connection, and what has come to it. */
class End {
  got = '';
  state: 'open' | 'ended' | 'broken' = 'open';

  constructor(readonly socket: Socket) {
    socket.on('data', (chunk) => (this.got += chunk.toString()));
    socket.on('end', () => (this.state = 'ended'));
    socket.on('error', () => (this.state = 'broken'));
    socket.on('close', (hadError) => {
      if (!hadError && this.state === 'open') this.state = 'ended';
    });
  }
}

describe('the TCP proxy', () => {
  let target: Server;
  let proxy: ChaosProxy;
  let served: End[];
  const clients: End[] = [];

  const dial = async (): Promise<[client: End, server: End]> => {
    const before = served.length;
    const client = new End(connect(proxy.port, '127.0.0.1'));
    clients.push(client);
    return [client, await eventually(() => mustBe(served[before]))];
  };
  const quiet = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 150));

  beforeEach(async () => {
    served = [];
    target = createServer((socket) => served.push(new End(socket)));
    await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve));
    proxy = await ChaosProxy.to((target.address() as AddressInfo).port);
  });
  afterEach(async () => {
    for (const { socket } of [...clients.splice(0), ...served]) socket.destroy();
    await proxy.close();
    await new Promise((resolve) => target.close(resolve));
  });

  it('passes everything both ways, and the end of a connection too', async () => {
    const [client, server] = await dial();
    client.socket.write('hello');
    await eventually(() => expect(server.got).toBe('hello'));
    server.socket.end('bye');
    await eventually(() => expect(client).toMatchObject({ got: 'bye', state: 'ended' }));
  });

  it('keeps what is sent while it is closed, in order', async () => {
    const [client, server] = await dial();
    proxy.set({ closed: true });
    client.socket.write('one ');
    client.socket.write('two');
    await quiet();
    expect(server.got).toBe('');
    proxy.heal();
    await eventually(() => expect(server.got).toBe('one two'));
    expect(client.state).toBe('open');
  });

  it('closes one direction and leaves the other', async () => {
    const [client, server] = await dial();
    proxy.set({ closed: true }, ['to_client']);
    client.socket.write('asked');
    server.socket.write('answered');
    await eventually(() => expect(server.got).toBe('asked'));
    await quiet();
    expect(client.got).toBe('');
    proxy.heal();
    await eventually(() => expect(client.got).toBe('answered'));
  });

  it('loses what is sent into a hole, without telling anybody until it heals', async () => {
    const [client, server] = await dial();
    proxy.set({ lost: true });
    client.socket.write('gone');
    await quiet();
    expect([server.got, client.state, server.state]).toEqual(['', 'open', 'open']);
    proxy.heal();
    await eventually(() => expect([client.state, server.state]).not.toContain('open'));
    const [next, nextServer] = await dial();
    next.socket.write('there');
    await eventually(() => expect(nextServer.got).toBe('there'));
  });

  it('delays, and throttles to a rate', async () => {
    const [client, server] = await dial();
    proxy.set({ delayMs: 200 });
    const began = performance.now();
    client.socket.write('late');
    await eventually(() => expect(server.got).toBe('late'));
    expect(performance.now() - began).toBeGreaterThan(190);
    proxy.set({ bytesPerSecond: 100_000 }, ['to_server']);
    const throttled = performance.now();
    client.socket.write('x'.repeat(50_000));
    await eventually(() => expect(server.got).toHaveLength(50_004));
    expect(performance.now() - throttled).toBeGreaterThan(400);
  });

  it('resets, so that both ends see it', async () => {
    const [client, server] = await dial();
    proxy.reset();
    await eventually(() => expect([client.state, server.state]).toEqual(['broken', 'broken']));
    expect(proxy.links.size).toBe(0);
  });

  it('forgets one end: the other is not told, and talks to nobody', async () => {
    const [client, server] = await dial();
    [...proxy.links][0]?.halfOpen('client');
    await eventually(() => expect(client.state).not.toBe('open'));
    server.socket.write('anyone?');
    await quiet();
    expect(server.state).toBe('open');
  });

  it('goes to another server when the first is not there, and refuses when none is', async () => {
    const there = (target.address() as AddressInfo).port;
    const spare = await ChaosProxy.to(() => [1, there]);
    const none = await ChaosProxy.to(() => [1]);
    try {
      for (const _ of [1, 2]) {
        const before = served.length;
        clients.push(new End(connect(spare.port, '127.0.0.1')));
        await eventually(() => expect(served).toHaveLength(before + 1));
      }
      const refused = new End(connect(none.port, '127.0.0.1'));
      clients.push(refused);
      await eventually(() => expect(refused.state).not.toBe('open'));
    } finally {
      await Promise.all([spare.close(), none.close()]);
    }
  });

  it('makes a sender wait for a reader that does not read, and loses nothing of it', async () => {
    const [client, server] = await dial();
    server.socket.pause();
    const size = 32 * 1_048_576;
    const sent = client.socket.write('x'.repeat(size));
    expect(sent).toBe(false);
    await quiet();
    expect(client.socket.writableLength).toBeGreaterThan(0);
    server.socket.resume();
    await eventually(() => expect(server.got).toHaveLength(size), { timeoutMs: 20_000 });
  });
});

function mustBe<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('not there yet');
  return value;
}
