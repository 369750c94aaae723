import { Module, type DynamicModule } from '@nestjs/common';
import { DiscoveryModule } from '@nestjs/core';
import type { Logger } from 'pino';
import { AccessModule } from './access/access.module';
import { ApiKeyEntity, EnrolmentKeyEntity, PrincipalEntity } from './access/api-key.entity';
import { AgentsModule } from './agents/agents.module';
import type { BrokerOptions } from './broker/broker';
import { BrokerModule } from './broker/broker.module';
import type { RevocationAuthority } from './broker/user-revocations';
import { CallsModule } from './calls/calls.module';
import type { Config } from './config/config';
import { ConfigModule } from './config/config.module';
import { CredentialsModule } from './credentials/credentials.module';
import { DatabaseModule } from './database/database.module';
import { DrillsModule } from './drills/drills.module';
import { EnforcementModule } from './enforcement/enforcement.module';
import { LiveModule } from './live/live.module';
import { OperationsModule } from './operations/operations.module';
import { RevocationModule } from './revocation/revocation.module';
import { SigningModule } from './signing/signing.module';
import { StreamModule } from './stream/stream.module';

/** What the boot has found out before anything is composed. */
export interface Stores {
  readonly databaseUrl: string;
  readonly broker: BrokerOptions & { readonly authority?: RevocationAuthority | undefined };
  readonly masterKey: string;
  /** Of this replica alone. */
  readonly dataDir: string;
}

const ENTITIES = [ApiKeyEntity, EnrolmentKeyEntity, PrincipalEntity];

/** The composition, in the order of the dependencies; nothing else. */
@Module({})
export class AppModule {
  static with(config: Config, stores: Stores, log: Logger): DynamicModule {
    return {
      module: AppModule,
      imports: [
        { module: DiscoveryModule, global: true },
        ConfigModule.with(config, log),
        DatabaseModule.forUrl(stores.databaseUrl, ENTITIES, log, {
          dataDir: stores.dataDir,
          enabled: config.continuity,
        }),
        BrokerModule.forServer(stores.broker, log),
        SigningModule.withMasterKey(stores.masterKey),
        AccessModule,
        CredentialsModule,
        AgentsModule,
        StreamModule.forDatabase(stores.databaseUrl, log),
        EnforcementModule.with(log),
        RevocationModule,
        DrillsModule,
        CallsModule.with(stores.databaseUrl, config.calls, log),
        LiveModule,
        OperationsModule,
      ],
    };
  }
}
