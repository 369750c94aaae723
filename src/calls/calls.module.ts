import { Global, Module, type DynamicModule } from '@nestjs/common';
import type { Logger } from 'pino';
import { Broker } from '../broker/broker';
import type { Config } from '../config/config';
import { EnforcementEvents } from '../stream/enforcement-events';
import { EpSignatures } from '../stream/ep-signatures';
import { Replica } from '../stream/replica';
import { Turn } from '../stream/turn';
import { CallDays } from './call-days';
import { CallStats } from './call-stats';
import { CallStore } from './call.store';
import { CallsController } from './calls.controller';
import { FreeSpace } from './free-space';
import { TakeCalls } from './take-calls';

@Global()
@Module({})
export class CallsModule {
  static with(
    databaseUrl: string,
    { retention, minFree }: Config['calls'],
    log: Logger,
  ): DynamicModule {
    return {
      module: CallsModule,
      controllers: [CallsController],
      providers: [
        CallStats,
        CallStore,
        {
          provide: CallDays,
          inject: [CallStore],
          useFactory: (store: CallStore) => new CallDays(store, retention, log),
        },
        {
          provide: FreeSpace,
          inject: [CallStore, Replica],
          useFactory: (store: CallStore, replica: Replica) =>
            new FreeSpace(databaseUrl, store, () => replica.monotonic()),
        },
        {
          provide: TakeCalls,
          inject: [
            ...[Broker, EpSignatures, Turn, CallStore, CallDays, FreeSpace, CallStats],
            EnforcementEvents,
          ],
          useFactory: (
            broker: Broker,
            signatures: EpSignatures,
            turn: Turn,
            store: CallStore,
            days: CallDays,
            space: FreeSpace,
            stats: CallStats,
            events: EnforcementEvents,
          ) =>
            new TakeCalls({
              ...{ broker, signatures, turn, store, days, space, stats, events, minFree, log },
            }),
        },
      ],
      exports: [CallStats],
    };
  }
}
