import { Global, Module, type DynamicModule } from '@nestjs/common';
import type { Logger } from 'pino';
import { connectDataSources, type EntityClasses } from './data-source';
import { KillPool } from './kill-pool';
import { migrate } from './migrate';
import { UnitOfWork, type DataSources } from './unit-of-work';

const SOURCES = Symbol('DataSources');
const KILL_CONNECTIONS = 6;

@Global()
@Module({})
export class DatabaseModule {
  static forUrl(databaseUrl: string, entities: EntityClasses, log: Logger): DynamicModule {
    return {
      module: DatabaseModule,
      providers: [
        {
          provide: SOURCES,
          useFactory: async () => {
            await migrate(databaseUrl);
            return connectDataSources(databaseUrl, entities);
          },
        },
        {
          provide: UnitOfWork,
          useFactory: (sources: DataSources) => new UnitOfWork(sources),
          inject: [SOURCES],
        },
        {
          // After the data sources, because they migrate first.
          provide: KillPool,
          useFactory: () => new KillPool(databaseUrl, KILL_CONNECTIONS, log),
          inject: [SOURCES],
        },
        {
          provide: DatabaseConnections,
          useFactory: (sources: DataSources, kills: KillPool) =>
            new DatabaseConnections(sources, kills),
          inject: [SOURCES, KillPool],
        },
      ],
      exports: [UnitOfWork, KillPool],
    };
  }
}

/** Closes what the module opened, after everything that uses it. */
export class DatabaseConnections {
  constructor(
    private readonly sources: DataSources,
    private readonly kills: KillPool,
  ) {}

  async onApplicationShutdown(): Promise<void> {
    await Promise.allSettled([
      this.sources.app.destroy(),
      this.sources.system.destroy(),
      this.kills.close(),
    ]);
  }
}
