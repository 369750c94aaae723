import { Global, Module } from '@nestjs/common';
import { CredentialStore } from './credential.store';
import { CredentialsController } from './credentials.controller';
import { MintCredential } from './mint-credential';
import { TokenIssuer } from './token-issuer';

@Global()
@Module({
  controllers: [CredentialsController],
  providers: [CredentialStore, MintCredential, TokenIssuer],
  exports: [TokenIssuer],
})
export class CredentialsModule {}
