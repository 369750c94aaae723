import { Injectable } from '@nestjs/common';
import {
  DEFAULT_AUDIENCE,
  deepestAgent,
  idOfKind,
  ProblemError,
  TOKEN_TYP,
  TokenClaims,
} from '@sever/protocol';
import { decodeProtectedHeader, importJWK, jwtVerify, type CryptoKey, type JWK } from 'jose';
import { isDatabaseAway } from '../database/reach';
import { Issuer } from '../signing/issuer';
import { SigningKeys } from '../signing/signing-keys';
import type { AgentPrincipal } from './principal';

const MAX_TOKEN_LENGTH = 32_768;

/** Verifies an agent's token for the control plane's own API. Whether its lineage lives is asked of the database after. */
@Injectable()
export class TokenAuthenticator {
  private readonly imported = new Map<string, Promise<CryptoKey>>();

  constructor(
    private readonly keys: SigningKeys,
    private readonly issuer: Issuer,
  ) {}

  /** @throws ProblemError `unauthenticated`, with one constant message whatever is wrong with the token. */
  async authenticate(token: string): Promise<AgentPrincipal> {
    const claims = await this.verify(token).catch((error: unknown) => {
      if (isDatabaseAway(error)) throw error;
      return null;
    });
    const agent = claims && (claims.act?.sub ?? claims.sub);
    const family = claims && idOfKind(claims.lin, 'family');
    if (
      !claims ||
      !agent ||
      deepestAgent(claims.lin) !== agent ||
      idOfKind(claims.lin, 'tenant') !== claims.tid ||
      idOfKind(claims.lin, 'credential') !== claims.jti ||
      idOfKind(claims.lin, 'initiator') === undefined ||
      !family
    )
      throw unauthenticated();
    return {
      kind: 'agent',
      tenant: claims.tid,
      id: agent,
      credentialId: claims.jti,
      familyId: family,
      lineage: claims.lin,
      toolsOnly: claims.use === 'tools',
      signingKey: decodeProtectedHeader(token).kid as string,
    };
  }

  /**
   * The credential behind a token of this tenant, for whoever wants it dead: the signature must hold, but it may have
   * expired, be for another audience, or belong to somebody long killed. `null` when it is not ours.
   */
  async credentialOf(tenant: string, token: string): Promise<string | null> {
    return (await this.claimsOf(tenant, token))?.jti ?? null;
  }

  /** What such a token says of itself, once its signature holds. Asks the database for nothing but keys not yet known. */
  async claimsOf(tenant: string, token: string): Promise<TokenClaims | null> {
    try {
      const { kid } = decodeProtectedHeader(token);
      const key = kid === undefined ? null : await this.publicKey(tenant, kid);
      if (key === null) return null;
      const { payload } = await jwtVerify(token, key, {
        algorithms: ['EdDSA'],
        typ: TOKEN_TYP,
        currentDate: new Date(0),
        clockTolerance: Number.MAX_SAFE_INTEGER / 1_000,
      });
      const claims = TokenClaims.parse(payload);
      return claims.tid === tenant ? claims : null;
    } catch {
      return null;
    }
  }

  private async verify(token: string): Promise<TokenClaims | null> {
    if (token.length > MAX_TOKEN_LENGTH) return null;
    const { kid } = decodeProtectedHeader(token);
    // The tenant is read before the signature is checked only to find the key; the verified claim must agree.
    const tenant = unverifiedTenant(token);
    if (kid === undefined || tenant === null) return null;
    const key = await this.publicKey(tenant, kid);
    if (key === null) return null;
    const { payload } = await jwtVerify(token, key, {
      algorithms: ['EdDSA'],
      typ: TOKEN_TYP,
      issuer: this.issuer.url,
      audience: DEFAULT_AUDIENCE,
      requiredClaims: ['exp', 'iat', 'jti', 'sub', 'aud'],
    });
    const claims = TokenClaims.parse(payload);
    return claims.tid === tenant ? claims : null;
  }

  private async publicKey(tenant: string, kid: string): Promise<CryptoKey | null> {
    const known = (await this.keys.publicKeys(tenant, 'token')).find((jwk) => jwk.kid === kid);
    if (!known) return null;
    const key = this.imported.get(kid) ?? (importJWK(known as JWK, 'EdDSA') as Promise<CryptoKey>);
    this.imported.set(kid, key);
    return key;
  }
}

export function unauthenticated(): ProblemError {
  return new ProblemError(
    'unauthenticated',
    'Send a valid API key or agent token as "Authorization: Bearer …".',
  );
}

function unverifiedTenant(token: string): string | null {
  try {
    const claims: unknown = JSON.parse(
      Buffer.from(token.split('.')[1] ?? '', 'base64url').toString(),
    );
    const tid = (claims as { tid?: unknown }).tid;
    return typeof tid === 'string' && /^ten_[0-7][0-9a-hjkmnp-tv-z]{25}$/.test(tid) ? tid : null;
  } catch {
    return null;
  }
}
