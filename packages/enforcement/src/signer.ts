import { CompactSign, type CryptoKey } from 'jose';

const encoder = new TextEncoder();

/** Signs as the enforcement point. `kid` is its key's RFC 7638 thumbprint. */
export class Signer {
  constructor(
    readonly kid: string,
    private readonly key: CryptoKey | Uint8Array,
  ) {}

  /** @returns a JWS in compact form */
  async sign(typ: string, claims: object): Promise<string> {
    return await new CompactSign(encoder.encode(JSON.stringify(claims)))
      .setProtectedHeader({ alg: 'EdDSA', typ, kid: this.kid })
      .sign(this.key);
  }
}
