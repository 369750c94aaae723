import { Global, Module, type DynamicModule } from '@nestjs/common';
import { Issuer } from './issuer';
import { Sealer } from './sealer';
import { SigningKeys } from './signing-keys';

@Global()
@Module({})
export class SigningModule {
  /** @param masterKey 32 bytes in base64url; it seals every private key at rest. */
  static withMasterKey(masterKey: string): DynamicModule {
    return {
      module: SigningModule,
      providers: [
        { provide: Sealer, useFactory: () => new Sealer(Buffer.from(masterKey, 'base64url')) },
        Issuer,
        SigningKeys,
      ],
      exports: [Sealer, Issuer, SigningKeys],
    };
  }
}
