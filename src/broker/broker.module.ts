import { Global, Module, type DynamicModule } from '@nestjs/common';
import type { Logger } from 'pino';
import { Broker, type BrokerOptions } from './broker';

@Global()
@Module({})
export class BrokerModule {
  static forServer(options: BrokerOptions, log: Logger): DynamicModule {
    return {
      module: BrokerModule,
      providers: [
        { provide: Broker, useFactory: () => Broker.connect(options, log) },
        {
          provide: BrokerConnection,
          useFactory: (broker: Broker) => new BrokerConnection(broker),
          inject: [Broker],
        },
      ],
      exports: [Broker],
    };
  }
}

/** Closes what the module opened, after everything that uses it. */
export class BrokerConnection {
  constructor(private readonly broker: Broker) {}

  async onApplicationShutdown(): Promise<void> {
    await this.broker.close();
  }
}
