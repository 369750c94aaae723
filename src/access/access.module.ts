import { Global, Module } from '@nestjs/common';
import { APP_GUARD, APP_INTERCEPTOR } from '@nestjs/core';
import { AccessGuard } from './access.guard';
import { AccessStore } from './access.store';
import { Authenticator } from './authenticator';
import { AuthorityDeadline } from './authority-deadline';
import { Cursors } from './cursors';
import { KeyStore } from './key.store';
import { KeysController } from './keys.controller';
import { KnownKeys } from './known-keys';
import { Listeners } from './listeners';
import { PolicyCheck } from './policy-check';
import { Tenants } from './tenants';
import { TokenAuthenticator } from './token-authenticator';

@Global()
@Module({
  controllers: [KeysController],
  providers: [
    AccessStore,
    Authenticator,
    Cursors,
    KeyStore,
    KnownKeys,
    Listeners,
    PolicyCheck,
    Tenants,
    TokenAuthenticator,
    { provide: APP_GUARD, useClass: AccessGuard },
    { provide: APP_INTERCEPTOR, useClass: AuthorityDeadline },
  ],
  exports: [Authenticator, Cursors, Tenants],
})
export class AccessModule {}
