import { DataSource } from 'typeorm';
import type { Continuity } from './continuity';
import type { DataSources } from './unit-of-work';

/** Slots are reserved by pool sizes: with those of the kill pool they stay below Postgres' usual 100 connections. */
const POOL = { app: 16, system: 6 } as const;

/** Classes of rows that are read and written through repositories; each belongs to the folder that uses it. */
export type EntityClasses = (new () => object)[];

/** Two pools that work under roles of their own; neither may change the schema. */
export async function connectDataSources(
  databaseUrl: string,
  entities: EntityClasses,
  continuity?: Pick<Continuity, 'verify'>,
): Promise<DataSources> {
  const open = (role: 'app' | 'system'): DataSource =>
    new DataSource({
      type: 'postgres',
      url: databaseUrl,
      applicationName: `sever-${role}`,
      entities,
      synchronize: false,
      logging: false,
      poolSize: POOL[role],
      extra: {
        options: `-c role=sever_${role} -c jit=off -c statement_timeout=15000 -c idle_in_transaction_session_timeout=5000`,
        // Given up sooner, a server too busy to open connections in time would only be asked for more of them.
        connectionTimeoutMillis: 5_000,
        // A frozen server does not keep its own statement timeout.
        query_timeout: 16_000,
        ...(continuity && { verify: continuity.verify }),
      },
    });
  const sources = { app: open('app'), system: open('system') };
  await Promise.all([sources.app.initialize(), sources.system.initialize()]);
  return sources;
}
