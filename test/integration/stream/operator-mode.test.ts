import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { createAccount } from '@nats-io/nkeys';
import pino from 'pino';
import { Broker, type BrokerOptions } from '../../../src/broker/broker';
import { createBrokerOperator } from '../../../src/broker/operator';
import { freePort } from '../../../src/embedded/ports';
import { startChildServer, type ChildServer } from '../../../src/embedded/child-server';
import { natsServerBinary } from '../../../src/embedded/nats-server';
import { startTestBroker, type TestBroker } from '../../support/broker';

const log = pino({ level: 'silent' });
let broker: TestBroker;
let options: BrokerOptions;

beforeAll(async () => {
  broker = await startTestBroker();
  options = {
    url: broker.url,
    credsFile: broker.credsFile,
    accountSeed: readFileSync(broker.accountSeedFile, 'utf8'),
  };
});
afterAll(() => broker.stop());

test('a broker in operator mode with our account is taken', async () => {
  const connected = await Broker.connect(options, log);
  expect(connected.isConnected()).toBe(true);
  expect(connected.urls).toEqual([broker.url]);
  await connected.close();
});

test('a broker of another operator refuses us, and the error names the command that helps', async () => {
  const { controlPlaneCreds, severAccount } = await createBrokerOperator();
  const foreign = { url: broker.url, creds: controlPlaneCreds, accountSeed: severAccount.seed };

  await expect(Broker.connect(foreign, log)).rejects.toThrow(
    /refuses our credentials.*sever broker init/,
  );
});

test('a seed of another account than that of the credentials is found before anyone enrols', async () => {
  const accountSeed = Buffer.from(createAccount().getSeed()).toString();

  await expect(Broker.connect({ ...options, accountSeed }, log)).rejects.toThrow(
    /SEVER_NATS_ACCOUNT_SEED_FILE is not the seed/,
  );
});

test('no broker at all is said to be none', async () => {
  const url = `nats://127.0.0.1:${await freePort()}`;

  await expect(Broker.connect({ ...options, url, connectWithinMs: 100 }, log)).rejects.toThrow(
    /No NATS server answers/,
  );
});

test('a server that takes connections and says nothing is not waited for either, and the setting is named', async () => {
  const taken = new Set<Socket>();
  const silent = createServer((socket) => taken.add(socket.resume()));
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const { port } = silent.address() as AddressInfo;
  const start = performance.now();

  await expect(
    Broker.connect({ ...options, url: `nats://127.0.0.1:${port}` }, log),
  ).rejects.toThrow(/No NATS server answers.*SEVER_NATS_URL.*start it, or correct the URL/);

  expect(performance.now() - start).toBeLessThan(10_000);
  expect(taken.size).toBeGreaterThan(0);
  for (const socket of taken) socket.destroy();
  silent.close();
});

test('a broker that starts a little later than we do is waited for', async () => {
  await broker.kill();
  const connecting = Broker.connect(options, log);
  await broker.restart();
  const connected = await connecting;
  expect(connected.isConnected()).toBe(true);
  await connected.close();
});

test('a broker that lets anybody in is refused', async () => {
  const port = await freePort();
  const open: ChildServer = await startChildServer({
    name: 'an open nats-server',
    command: natsServerBinary(),
    args: ['-a', '127.0.0.1', '-p', String(port)],
    env: process.env,
    ready: /Server is ready/,
    stopSignal: 'SIGTERM',
    log: () => undefined,
    onSpawn: () => undefined,
  });
  try {
    await expect(
      Broker.connect({ ...options, url: `nats://127.0.0.1:${port}` }, log),
    ).rejects.toThrow(/admits clients without credentials.*sever broker init/);
  } finally {
    await open.stop();
  }
});
