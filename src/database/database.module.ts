import { Global, Module, type DynamicModule } from '@nestjs/common';
import { newId } from '@sever/protocol';
import type { Logger } from 'pino';
import { connectDataSources, type EntityClasses } from './data-source';
import { Continuity } from './continuity';
import { HighWater } from './high-water';
import { KillPool } from './kill-pool';
import { migrate } from './migrate';
import { UnitOfWork, type DataSources } from './unit-of-work';

const SOURCES = Symbol('DataSources');
const KILL_CONNECTIONS = 6;

/** Where a replica keeps what the database must not have forgotten. */
export interface ContinuitySettings {
  readonly dataDir: string;
  readonly enabled: boolean;
}

@Global()
@Module({})
export class DatabaseModule {
  static forUrl(
    databaseUrl: string,
    entities: EntityClasses,
    log: Logger,
    { dataDir, enabled }: ContinuitySettings,
  ): DynamicModule {
    return {
      module: DatabaseModule,
      providers: [
        {
          provide: HighWater,
          useFactory: () => HighWater.open(dataDir, newId('boot'), log),
        },
        {
          provide: Continuity,
          useFactory: (highWater: HighWater) =>
            new Continuity({ databaseUrl, highWater, log, enabled }),
          inject: [HighWater],
        },
        {
          provide: SOURCES,
          useFactory: async (continuity: Continuity) => {
            await migrate(databaseUrl);
            // A database that has gone back is in a new epoch before anything can be asked of it.
            await continuity.check();
            return connectDataSources(databaseUrl, entities, continuity);
          },
          inject: [Continuity],
        },
        {
          provide: UnitOfWork,
          useFactory: (sources: DataSources) => new UnitOfWork(sources),
          inject: [SOURCES],
        },
        {
          // After the data sources, because they migrate first.
          provide: KillPool,
          useFactory: (_: DataSources, continuity: Continuity) =>
            new KillPool(databaseUrl, KILL_CONNECTIONS, log, continuity),
          inject: [SOURCES, Continuity],
        },
        {
          provide: DatabaseConnections,
          useFactory: (sources: DataSources, kills: KillPool, highWater: HighWater) =>
            new DatabaseConnections(sources, kills, highWater),
          inject: [SOURCES, KillPool, HighWater],
        },
      ],
      exports: [UnitOfWork, KillPool, Continuity],
    };
  }
}

/** Closes what the module opened, after everything that uses it. */
export class DatabaseConnections {
  constructor(
    private readonly sources: DataSources,
    private readonly kills: KillPool,
    private readonly highWater: HighWater,
  ) {}

  async onApplicationShutdown(): Promise<void> {
    await Promise.allSettled([
      this.sources.app.destroy(),
      this.sources.system.destroy(),
      this.kills.close(),
      this.highWater.close(),
    ]);
  }
}
