import Fastify from 'fastify';
import type { NatsConnection } from '@nats-io/transport-node';
import { Client } from 'pg';
import { setTimeout as delay } from 'node:timers/promises';
import { monotonicMs } from '../measure/monotonic';
import { connectBroker } from '../stage/broker-connection';
import { answer } from '../stage/processes';
import type { BrokerAccess } from '../stage/stage';
import { ANSWERED, ANSWERS, BARE, SIGNED } from '../points/bare-subscribers';
import { FloorSigner } from './floor-message';

// The barest program that does each step of a kill, in a process of its own as the control plane has one.
const ROW_BYTES = 400;

const server = Fastify();
const signer = new FloorSigner();
let database: Client | undefined;
let broker: NatsConnection | undefined;

const commit = async (): Promise<void> => {
  await database?.query('INSERT INTO bench_floor (row) VALUES ($1)', ['x'.repeat(ROW_BYTES)]);
};
const publish = (subject: string, { number, bytes }: { number: number; bytes: number }): number => {
  const message = signer.message(number, bytes);
  const at = monotonicMs();
  broker?.publish(subject, message);
  return at;
};

interface Body {
  Body: { number: number; bytes: number; count?: number };
}
server.post('/http', async () => ({ done: true }));
server.post('/commit', async () => {
  const before = monotonicMs();
  await commit();
  return { ms: monotonicMs() - before };
});
server.post<Body>('/commits', async ({ body: { number } }) => {
  const before = monotonicMs();
  for (let commits = 0; commits < number; commits++) await commit();
  return { rate: (number / (monotonicMs() - before)) * 1_000 };
});
server.post<Body>('/burst', async ({ body: { number, bytes, count = 1 } }) => {
  const first = monotonicMs();
  let at = first;
  for (let sent = 0; sent < count; sent++) {
    const wait = first + sent - monotonicMs();
    if (wait > 0) await delay(wait);
    at = publish(ANSWERED, { number: number + sent, bytes });
  }
  return { at };
});
server.post<Body>('/publish', async ({ body }) => ({ at: publish(BARE, body) }));
server.post<Body>('/publish-signed', async ({ body }) => ({ at: publish(SIGNED, body) }));
server.post<Body>('/everything', async ({ body }) => {
  await commit();
  return { at: publish(SIGNED, body) };
});

answer(
  {
    listen: async (input: { databaseUrl: string; broker: BrokerAccess }) => {
      database = new Client({ connectionString: input.databaseUrl });
      await database.connect();
      await database.query('CREATE TABLE IF NOT EXISTS bench_floor (row text NOT NULL)');
      broker = await connectBroker(input.broker);
      // Somebody has to take the answers, as a control plane would.
      broker.subscribe(ANSWERS, { callback: () => undefined });
      const url = await server.listen({ host: '127.0.0.1', port: 0 });
      return { url, publicKey: signer.publicKey };
    },
  },
  async () => {
    await server.close();
    await broker?.close();
    await database?.end();
  },
);
