import { Injectable } from '@nestjs/common';
import { TOKEN_TYP, type IssuedCredential } from '@sever/protocol';
import { SignJWT } from 'jose';
import { Issuer } from '../signing/issuer';
import { SigningKeys } from '../signing/signing-keys';

/** What `sever_issue` wrote: everything that the token must say. */
export interface CredentialRow {
  id: string;
  agent_id: string;
  scopes: string[];
  audience: string;
  use: string | null;
  /** Seconds since the Unix epoch, by the database's clock. */
  issued_at: number;
  expires_at: number;
  subjects: string[];
  generations: number[];
  /** The key that signs tokens at the moment of issue; `null` before the first one was made. */
  kid: string | null;
}

/** Signs the token of a credential that the database has already written (RFC 9068 profile, with the lineage `lin`). */
@Injectable()
export class TokenIssuer {
  constructor(
    private readonly keys: SigningKeys,
    private readonly issuer: Issuer,
  ) {}

  async issue(tenant: string, row: CredentialRow): Promise<IssuedCredential> {
    const key = await this.keys.liveKeyCalled(tenant, 'token', row.kid);
    const token = await new SignJWT({
      tid: tenant,
      scope: row.scopes.join(' '),
      ...(row.use === null ? {} : { use: row.use }),
      lin: row.subjects.map((subject, at) => [subject, row.generations[at]]),
    })
      .setProtectedHeader({ alg: 'EdDSA', typ: TOKEN_TYP, kid: key.kid })
      .setIssuer(this.issuer.url)
      .setAudience(row.audience)
      .setSubject(row.agent_id)
      .setJti(row.id)
      .setIssuedAt(row.issued_at)
      .setExpirationTime(row.expires_at)
      .sign(key.privateKey);
    return {
      id: row.id,
      token,
      expires_at: new Date(row.expires_at * 1_000).toISOString(),
      scopes: row.scopes,
    };
  }
}
