import { readFileSync } from 'node:fs';
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { startTestBroker, type TestBroker } from '../../support/broker';
import { eventually } from '../../support/eventually';
import { NatsProxy } from './nats-proxy';
import type { Harm } from './rule';

const PAYLOAD = 'a payload\r\nPING\r\nwith line ends';

describe('the proxy before a NATS server', () => {
  let broker: TestBroker;
  let proxy: NatsProxy;
  let speaker: NatsConnection;
  const connections: NatsConnection[] = [];

  const dial = async (name: string, port: number): Promise<NatsConnection> => {
    const connection = await connect({
      servers: `nats://127.0.0.1:${port}`,
      name,
      authenticator: credsAuthenticator(readFileSync(broker.credsFile)),
      reconnectTimeWait: 50,
      maxReconnectAttempts: -1,
      // Of the client alone, so that a loss is noticed within the test.
      pingInterval: 200,
      maxPingOut: 2,
    });
    connections.push(connection);
    return connection;
  };
  const listener = async (name = 'listener'): Promise<string[]> => {
    const connection = await dial(name, proxy.port);
    const heard: string[] = [];
    connection.subscribe('a.>', {
      callback: (_, message) => void heard.push(Buffer.from(message.data).toString('latin1')),
    });
    await connection.flush();
    return heard;
  };
  const say = async (texts: readonly string[], subject = 'a.b'): Promise<void> => {
    for (const text of texts) speaker.publish(subject, Buffer.from(text, 'latin1'));
    await speaker.flush();
  };
  const harm = (kind: Harm, subject = 'a.b'): (() => void) =>
    proxy.impose({ subject, direction: 'to_client', harm: kind });

  beforeAll(async () => {
    broker = await startTestBroker();
  });
  beforeEach(async () => {
    const port = Number(new URL(broker.url).port);
    proxy = await NatsProxy.to(port, 7);
    speaker = await dial('speaker', port);
  });
  afterEach(async () => {
    await Promise.all(connections.splice(0).map((connection) => connection.close()));
    await proxy.close();
  });
  afterAll(() => broker.stop());

  it('changes nothing without a rule, and tells observers who said what and when', async () => {
    const record = proxy.record('a.*', 'to_client');
    const heard = await listener();
    await say([PAYLOAD, '']);
    await eventually(() => expect(heard).toEqual([PAYLOAD, '']));
    expect(record.messages).toMatchObject([
      { client: 'listener', subject: 'a.b', payload: Buffer.from(PAYLOAD) },
      { client: 'listener', subject: 'a.b' },
    ]);
    expect((record.messages[1]?.at ?? 0n) >= (record.messages[0]?.at ?? 1n)).toBe(true);
  });

  it('drops by subject, and stops when the rule is taken back', async () => {
    const heard = await listener();
    const lift = harm({ kind: 'drop' });
    await say(['lost']);
    await say(['kept'], 'a.c');
    await eventually(() => expect(heard).toEqual(['kept']));
    lift();
    await say(['later']);
    await eventually(() => expect(heard).toEqual(['kept', 'later']));
  });

  it('does harm to one client and leaves the other alone', async () => {
    const [one, other] = [await listener('one'), await listener('other')];
    proxy.impose({ subject: 'a.b', direction: 'to_client', client: 'one', harm: { kind: 'drop' } });
    await say(['x']);
    await eventually(() => expect(other).toEqual(['x']));
    expect(one).toEqual([]);
  });

  it('does harm to what a client sends, one way only', async () => {
    const heard = await listener();
    const through = await dial('through', proxy.port);
    proxy.impose({ subject: 'a.b', direction: 'to_server', harm: { kind: 'drop' } });
    through.publish('a.b', 'never leaves');
    await through.flush();
    await say(['arrives']);
    await eventually(() => expect(heard).toEqual(['arrives']));
  });

  it('repeats', async () => {
    const heard = await listener();
    harm({ kind: 'duplicate', times: 3 });
    await say(['x', 'y']);
    await eventually(() => expect(heard).toEqual(['x', 'x', 'x', 'y', 'y', 'y']));
  });

  it('delays, so that later messages overtake', async () => {
    const heard = await listener();
    harm({ kind: 'delay', fromMs: 150, toMs: 150 });
    await say(['slow']);
    await say(['fast'], 'a.c');
    await eventually(() => expect(heard).toEqual(['fast', 'slow']));
  });

  it('gives them in another order, and all of them', async () => {
    const heard = await listener();
    harm({ kind: 'reorder', count: 8, withinMs: 100 });
    const texts = Array.from({ length: 20 }, (_, at) => `message ${at}`);
    await say(texts);
    await eventually(() => expect([...heard].sort()).toEqual([...texts].sort()));
    expect(heard).not.toEqual(texts);
  });

  it('truncates and corrupts the message, and never the frame', async () => {
    const heard = await listener();
    const lift = harm({ kind: 'truncate' });
    await say([PAYLOAD, PAYLOAD]);
    await eventually(() => expect(heard).toHaveLength(2));
    for (const text of heard.splice(0)) {
      expect(text.length).toBeLessThan(PAYLOAD.length);
      expect(PAYLOAD.startsWith(text)).toBe(true);
    }
    lift();
    harm({ kind: 'corrupt' });
    await say([PAYLOAD]);
    await eventually(() => expect(heard).toHaveLength(1));
    expect(heard[0]).toHaveLength(PAYLOAD.length);
    expect(heard[0]).not.toBe(PAYLOAD);
  });

  it('touches only a share of the messages, the same ones for the same seed', async () => {
    const run = async (): Promise<string[]> => {
      const heard = await listener();
      proxy.impose({ subject: 'a.b', direction: 'to_client', share: 0.3, harm: { kind: 'drop' } });
      await say(Array.from({ length: 100 }, (_, at) => String(at)));
      await say(['end'], 'a.end');
      await eventually(() => expect(heard.at(-1)).toBe('end'));
      return heard;
    };
    const first = await run();
    expect(first.length).toBeGreaterThan(50);
    expect(first.length).toBeLessThan(90);
    await proxy.close();
    proxy = await NatsProxy.to(Number(new URL(broker.url).port), 7);
    expect(await run()).toEqual(first);
  });

  it('gives again what it has recorded, also to a connection made later', async () => {
    const heard = await listener();
    const record = proxy.record('a.b', 'to_client');
    await say(['once', 'twice']);
    await eventually(() => expect(heard).toHaveLength(2));
    proxy.resetClient('listener');
    await eventually(() => expect(proxy.replay('listener', record.messages)).toBe(2));
    await eventually(() => expect(heard).toEqual(['once', 'twice', 'once', 'twice']));
    expect(proxy.replay('nobody', record.messages)).toBe(0);
    expect(proxy.replay('listener', [{ subject: 'b.c', payload: Buffer.from('x') }])).toBe(0);
  });

  it('cuts one client off, one way, over its reconnects, and lets it back in', async () => {
    const [deaf, other] = [await listener('deaf'), await listener('other')];
    proxy.setClient('deaf', { lost: true }, ['to_client']);
    await say(['x']);
    await eventually(() => expect(other).toEqual(['x']));
    expect(deaf).toEqual([]);
    proxy.healClient('deaf');
    await eventually(
      async () => {
        await say(['y']);
        expect(deaf).toContain('y');
      },
      { everyMs: 100 },
    );
    expect(deaf).not.toContain('x');
  });
});
