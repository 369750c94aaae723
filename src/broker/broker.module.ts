import { Global, Module, type DynamicModule } from '@nestjs/common';
import type { Logger } from 'pino';
import { Broker, type BrokerOptions } from './broker';
import { UserRevocations, type RevocationAuthority } from './user-revocations';

@Global()
@Module({})
export class BrokerModule {
  /** Without `authority` nobody can be revoked at the broker. */
  static forServer(
    options: BrokerOptions & { readonly authority?: RevocationAuthority | undefined },
    log: Logger,
  ): DynamicModule {
    return {
      module: BrokerModule,
      providers: [
        { provide: Broker, useFactory: () => Broker.connect(options, log) },
        { provide: UserRevocations, useFactory: () => new UserRevocations(options) },
        {
          provide: BrokerConnection,
          useFactory: (broker: Broker) => new BrokerConnection(broker),
          inject: [Broker],
        },
      ],
      exports: [Broker, UserRevocations],
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
