import { readFileSync } from 'node:fs';
import {
  connect as dial,
  createServer,
  type AddressInfo,
  type Server,
  type Socket,
} from 'node:net';
import { createUser } from '@nats-io/nkeys';
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { broadcastSubject, epPermissions, newId } from '@sever/protocol';
import { mintUserJwt } from '../../../src/broker/operator';
import { startTestBroker, type TestBroker } from '../../../test/support/broker';
import { eventually } from '../../../test/support/eventually';
import { NatsTransport } from '../src/transports/nats';

const tenant = newId('tenant');
const ep = newId('enforcementPoint');

let broker: TestBroker;
let controlPlane: NatsConnection;
let roads: Road[] = [];
let transports: NatsTransport[] = [];

beforeAll(async () => {
  broker = await startTestBroker();
  const creds = readFileSync(broker.credsFile);
  controlPlane = await connect({ servers: broker.url, authenticator: credsAuthenticator(creds) });
});

afterEach(async () => {
  await Promise.all(transports.map((transport) => transport.close()));
  await Promise.all(roads.map((road) => road.close()));
  [transports, roads] = [[], []];
});

afterAll(async () => {
  await controlPlane.close();
  await broker.stop();
});

/** An address at which a test decides, connection by connection, what becomes of the client's bytes. */
class Road {
  taken = 0;
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    readonly url: string,
  ) {}

  static async of(join: (client: Socket, road: Road) => void): Promise<Road> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const road = new Road(server, `nats://127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.on('connection', (client) => {
      road.taken += 1;
      join(road.keep(client), road);
    });
    roads.push(road);
    return road;
  }

  /** Leads to no broker. */
  static async deadEnd(): Promise<Road> {
    return await Road.of((client) => client.destroy());
  }

  /** Leads to the broker; `breaks` looks at what the client sends and may let the connection break there. */
  static async toBroker(breaks: (sent: string, nth: number) => boolean): Promise<Road> {
    return await Road.of((client, road) => {
      const { hostname, port } = new URL(broker.url);
      const upstream = road.keep(dial(Number(port), hostname));
      const nth = road.taken;
      client.on('data', (chunk) => {
        if (breaks(chunk.toString(), nth)) client.destroy();
        else upstream.write(chunk);
      });
      upstream.on('data', (chunk) => void client.write(chunk));
      client.on('close', () => upstream.destroy());
      upstream.on('close', () => client.destroy());
    });
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private keep(socket: Socket): Socket {
    this.sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.sockets.delete(socket));
    return socket;
  }
}

async function started(road: Road) {
  const user = createUser();
  const jwt = await mintUserJwt({
    accountSeed: readFileSync(broker.accountSeedFile, 'utf8').trim(),
    userPublicKey: user.getPublicKey(),
    name: ep,
    ...epPermissions(tenant, ep),
  });
  const access = (at: Road) => ({ urls: [at.url], jwt });
  const transport = new NatsTransport({ tenant, ep, seed: user.getSeed(), access: access(road) });
  transports.push(transport);
  const heard: string[] = [];
  const listener = {
    message: jest.fn((_kind: string, bytes: Uint8Array) => {
      heard.push(Buffer.from(bytes).toString());
    }),
    connected: jest.fn(),
    disconnected: jest.fn(),
    suspect: jest.fn(),
  };
  const ended = transport.start(listener);
  ended.catch(() => undefined);
  const moveTo = (to: Road) => void transport.useAccess(access(to)).catch(() => undefined);
  const say = (text: string) => controlPlane.publish(broadcastSubject('stream', tenant), text);
  return { transport, listener, heard, ended, moveTo, say };
}

it('tells that it is connected, and hears, although the first connection broke while it subscribed', async () => {
  const road = await Road.toBroker((sent, nth) => nth === 1 && sent.includes('SUB '));
  const { listener, heard, say } = await started(road);
  await eventually(() => expect(listener.connected).toHaveBeenCalled());
  expect(road.taken).toBe(2);
  await eventually(() => {
    say('entry');
    expect(heard).toContain('entry');
  });
});

it('tells of a loss and of the way back on a connection that stood', async () => {
  let cut = false;
  const road = await Road.toBroker((sent) => cut && sent.includes('PING') && !(cut = false));
  const { listener, heard, say } = await started(road);
  await eventually(() => expect(listener.connected).toHaveBeenCalledTimes(1));
  expect(listener.disconnected).not.toHaveBeenCalled();
  cut = true;
  await eventually(() => expect(listener.connected).toHaveBeenCalledTimes(2));
  expect(listener.disconnected).toHaveBeenCalledTimes(1);
  await eventually(() => {
    say('entry after the loss');
    expect(heard).toContain('entry after the loss');
  });
});

it('looks for the broker at its new address only, once it has moved', async () => {
  const [before, between] = [await Road.deadEnd(), await Road.deadEnd()];
  const after = await Road.toBroker(() => false);
  const { listener, moveTo } = await started(before);
  await eventually(() => expect(before.taken).toBeGreaterThan(1));
  moveTo(between);
  await eventually(() => expect(between.taken).toBeGreaterThan(0));
  const then = before.taken;
  // The new search is the clock by which the old one is seen to have ended.
  await eventually(() => expect(between.taken).toBeGreaterThan(4), { timeoutMs: 10_000 });
  expect(before.taken - then).toBeLessThanOrEqual(1);
  moveTo(after);
  await eventually(() => expect(listener.connected).toHaveBeenCalledTimes(1));
  expect(after.taken).toBe(1);
});

it('ends its search when it is closed, while another one goes on with its own', async () => {
  const [closing, living] = [await Road.deadEnd(), await Road.deadEnd()];
  const { transport, listener, ended } = await started(closing);
  await started(living);
  await eventually(() => expect(closing.taken).toBeGreaterThan(1));
  await transport.close();
  const then = [closing.taken, living.taken] as const;
  await eventually(() => expect(living.taken).toBeGreaterThan(then[1] + 3), { timeoutMs: 10_000 });
  expect(closing.taken - then[0]).toBeLessThanOrEqual(1);
  await expect(ended).resolves.toBeUndefined();
  expect(listener.connected).not.toHaveBeenCalled();
});
