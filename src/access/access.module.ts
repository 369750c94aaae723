import { Global, Module } from '@nestjs/common';
import { APP_GUARD, APP_INTERCEPTOR } from '@nestjs/core';
import { RefusalCount } from '../lineage/refusal-count';
import { AccessGuard } from './access.guard';
import { AccessStore } from './access.store';
import { Authenticator } from './authenticator';
import { AuthorityDeadline } from './authority-deadline';
import { Cursors } from './cursors';
import { HaltKeyStore } from './halt-key.store';
import { HaltKeysController } from './halt-keys.controller';
import { KeyStore } from './key.store';
import { KeysController } from './keys.controller';
import { KnownKeys } from './known-keys';
import { LentKeys } from './lent-keys';
import { Listeners } from './listeners';
import { PolicyCheck } from './policy-check';
import { Tenants } from './tenants';
import { TokenAuthenticator } from './token-authenticator';

@Global()
@Module({
  controllers: [KeysController, HaltKeysController],
  providers: [
    AccessStore,
    Authenticator,
    Cursors,
    HaltKeyStore,
    KeyStore,
    KnownKeys,
    LentKeys,
    Listeners,
    PolicyCheck,
    RefusalCount,
    Tenants,
    TokenAuthenticator,
    { provide: APP_GUARD, useClass: AccessGuard },
    { provide: APP_INTERCEPTOR, useClass: AuthorityDeadline },
  ],
  exports: [
    Authenticator,
    Cursors,
    HaltKeyStore,
    RefusalCount,
    Tenants,
    TokenAuthenticator,
    LentKeys,
  ],
})
export class AccessModule {}
