import { Global, Module, type DynamicModule } from '@nestjs/common';
import type { Logger } from 'pino';
import type { Config } from './config';
import { Failpoints } from './failpoints';

/** Injection tokens for what has no class of its own at run time. */
export const CONFIG = Symbol('Config');
export const LOG = Symbol('Log');

@Global()
@Module({})
export class ConfigModule {
  static with(config: Config, log: Logger): DynamicModule {
    return {
      module: ConfigModule,
      providers: [
        { provide: CONFIG, useValue: config },
        { provide: LOG, useValue: log },
        { provide: Failpoints, useFactory: () => new Failpoints(config.failpoints) },
      ],
      exports: [CONFIG, LOG, Failpoints],
    };
  }
}
