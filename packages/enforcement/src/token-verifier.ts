import { jwtVerify, type JWTVerifyGetKey } from 'jose';
import {
  deepestAgent,
  idOfKind,
  MAX_TOKEN_SECONDS,
  scopesOf,
  TOKEN_TYP,
  TokenClaims,
  type Lineage,
} from '@sever/protocol';
import type { KeyRing } from './key-ring';
import type { Caller } from './types';
import { VerifiedTokens, type VerifiedToken } from './verified-token';

const MAX_TOKEN_LENGTH = 16_384;
/** Decoders pass over white space; a token has one spelling, or the same one could be shown under many. */
const COMPACT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
/** A token may be issued a little after this machine's idea of now; not more. */
const MAX_ISSUED_AHEAD_SECONDS = 60;
/** Headers by which a token could bring its own key, or ask for another reading of itself. */
const FOREIGN_HEADERS = [
  'jwk',
  'jku',
  'x5u',
  'x5c',
  'x5t',
  'x5t#S256',
  'crit',
  'b64',
  'zip',
  'enc',
];

export interface TokenVerifierOptions {
  readonly tenant: string;
  readonly issuer: string;
  readonly audience: string;
  readonly keys: KeyRing;
  readonly capacity?: number;
}

/** Verifies agents' tokens against the pinned keys, and remembers those that it verified. */
export class TokenVerifier {
  private readonly verified: VerifiedTokens;

  constructor(private readonly options: TokenVerifierOptions) {
    this.verified = new VerifiedTokens(options.capacity);
  }

  /** A token verified before, if its key still stands and it has not expired; no signature is computed. */
  recall(token: string, nowMs: number): VerifiedToken | undefined {
    const found = this.verified.find(token);
    return found !== undefined && this.stands(found, nowMs) ? found : undefined;
  }

  /** Is a token that was verified still good at this moment? */
  stands(verified: VerifiedToken, nowMs: number): boolean {
    return nowMs < verified.expiresAtMs && this.options.keys.has(verified.kid);
  }

  /** `null` for anything but a valid token; why is nobody's business who presents one. */
  async verify(token: string, nowMs: number): Promise<VerifiedToken | null> {
    if (typeof token !== 'string' || token.length > MAX_TOKEN_LENGTH) return null;
    if (!COMPACT.test(token) || !isPlainlySpelled(token)) return null;
    try {
      const { audience, issuer } = this.options;
      const { payload, protectedHeader } = await jwtVerify(token, this.pinnedKey, {
        algorithms: ['EdDSA'],
        typ: TOKEN_TYP,
        audience,
        issuer,
        currentDate: new Date(nowMs),
        requiredClaims: ['iat', 'exp', 'jti', 'sub'],
      });
      const claims = TokenClaims.parse(payload);
      if (!this.isConsistent(claims, nowMs)) return null;
      const verified = verifiedToken(token, claims, protectedHeader.kid ?? '');
      this.verified.add(verified);
      return verified;
    } catch {
      return null;
    }
  }

  private readonly pinnedKey: JWTVerifyGetKey = (header) => {
    if (FOREIGN_HEADERS.some((name) => name in header)) throw new Error('foreign header');
    const key = header.kid === undefined ? undefined : this.options.keys.get(header.kid);
    if (key === undefined) throw new Error('unknown key');
    return key;
  };

  private isConsistent(claims: TokenClaims, nowMs: number): boolean {
    const { iat, exp, lin, tid } = claims;
    const ofKind = (kind: string) => lin.filter(([subject]) => subject.startsWith(`${kind}:`));
    const tenants = ofKind('tenant');
    return (
      exp > iat &&
      exp - iat <= MAX_TOKEN_SECONDS &&
      iat <= nowMs / 1_000 + MAX_ISSUED_AHEAD_SECONDS &&
      tenants.length === 1 &&
      tenants[0]?.[0] === `tenant:${tid}` &&
      tid === this.options.tenant &&
      ofKind('initiator').length > 0 &&
      lin.some(([subject]) => subject === `credential:${claims.jti}`) &&
      deepestAgent(lin) === (claims.act?.sub ?? claims.sub)
    );
  }
}

/** The last character of a signature has bits that decoders ignore, so that each would have several spellings. */
function isPlainlySpelled(token: string): boolean {
  const signature = token.slice(token.lastIndexOf('.') + 1);
  return Buffer.from(signature, 'base64url').toString('base64url') === signature;
}

function verifiedToken(token: string, claims: TokenClaims, kid: string): VerifiedToken {
  const scopes = scopesOf(claims);
  const caller: Caller = {
    agentId: deepestAgent(claims.lin) ?? '',
    credentialId: claims.jti,
    tenant: claims.tid,
    initiatorId: idOfKind(claims.lin, 'initiator') ?? '',
    scopes,
    expiresAt: claims.exp,
    chain: idsOfKind(claims.lin, 'agent'),
    taskIds: idsOfKind(claims.lin, 'task'),
    serviceId: idOfKind(claims.lin, 'service'),
  };
  // A signing key is born with generation 1; any floor raised over it kills whatever it signed.
  const lineage: Lineage = [...claims.lin, [`signing_key:${kid}`, 1]];
  return {
    token,
    kid,
    lineage,
    scopes,
    caller,
    expiresAtMs: claims.exp * 1_000,
    allowed: Object.freeze({ decision: 'allow', stale: false, caller }),
    allowedStale: Object.freeze({ decision: 'allow', stale: true, caller }),
    seenVersion: -1,
    denial: null,
    isNarrowed: false,
  };
}

function idsOfKind(lineage: Lineage, kind: string): string[] {
  const prefix = `${kind}:`;
  return lineage
    .filter(([subject]) => subject.startsWith(prefix))
    .map(([subject]) => subject.slice(prefix.length));
}
