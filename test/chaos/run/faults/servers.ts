import { readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { brokerFilesIn } from '../../../../src/broker/broker-files';
import type { TestBroker } from '../../../support/broker';
import type { Fault } from '../fault';

export const serverFaults: Fault[] = [
  {
    ...{ id: 'F9', lane: 'servers', lasts: [300, 2_000] },
    what: 'Postgres is killed with all its backends, and starts again',
    begin: async ({ world: { database } }) => {
      await database.kill();
      return () => database.restart();
    },
  },
  {
    ...{ id: 'F10', lane: 'servers', lasts: [1_000, 5_000] },
    what: 'Postgres stands still',
    begin: async ({ world: { database } }) => {
      database.freeze();
      return () => database.thaw();
    },
  },
  {
    ...{ id: 'F11', lane: 'servers', lasts: [300, 1_000] },
    what: 'what Postgres answers is lost, the answer to COMMIT with it',
    begin: async ({ world: { databaseRoad } }) => {
      databaseRoad.set({ lost: true }, ['to_client']);
      return () => databaseRoad.heal();
    },
  },
  {
    ...{ id: 'F20', lane: 'servers', lasts: [200, 3_000] },
    what: 'nats-server is killed, and starts again',
    begin: async ({ world: { broker } }) => {
      await broker.kill();
      return () => broker.restart();
    },
  },
  {
    ...{ id: 'F21', lane: 'servers', lasts: [2_000, 6_000] },
    what: 'nats-server stands still',
    begin: async ({ world: { broker } }) => {
      broker.freeze();
      return () => broker.thaw();
    },
  },
  {
    ...{ id: 'F22', lane: 'servers', lasts: [200, 1_000] },
    what: 'nats-server starts again with nothing of what it had stored',
    begin: async ({ world: { broker } }) => {
      await broker.kill();
      wipe(broker);
      return () => broker.restart();
    },
  },
];

/** All that a broker keeps on disk beyond its configuration. @returns how many files that were */
export function wipe(broker: TestBroker): number {
  const folder = dirname(broker.credsFile);
  const { claimsDir } = brokerFilesIn(folder);
  const stored = readdirSync(claimsDir);
  for (const name of stored) rmSync(join(claimsDir, name), { recursive: true });
  return stored.length;
}
