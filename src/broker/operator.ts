import {
  Algorithms,
  encode,
  encodeAccount,
  encodeOperator,
  encodeUser,
  fmtCreds,
  type Account,
  type ClaimsData,
  type User,
} from '@nats-io/jwt';
import { createAccount, createOperator, createUser, fromPublic } from '@nats-io/nkeys';
import { nativeKeyPair, type KeyPair } from './native-key-pair';

/** Without these a claim means zero of everything, and the server lets nobody in: also for the system account. */
const UNLIMITED = {
  conn: -1,
  subs: -1,
  data: -1,
  payload: -1,
  imports: -1,
  exports: -1,
  wildcards: true,
  leaf: 0,
} as const;

const CLIENTS_ONLY: ('STANDARD' | 'WEBSOCKET')[] = ['STANDARD', 'WEBSOCKET'];

/** Everything that makes up one trust domain of brokers. The seeds are secrets. */
export interface Operator {
  operatorSeed: string;
  operatorJwt: string;
  systemAccount: { publicKey: string; jwt: string };
  /** Credentials that may push account claims, such as revocations, to a running broker. */
  systemCreds: string;
  severAccount: { publicKey: string; jwt: string; seed: string };
  /** Credentials of the control plane in the account of Sever. */
  controlPlaneCreds: string;
}

export async function createBrokerOperator(): Promise<Operator> {
  const operator = nativeKeyPair(createOperator().getSeed());
  const system = nativeKeyPair(createAccount().getSeed());
  const sever = nativeKeyPair(createAccount().getSeed());

  const operatorJwt = await encodeOperator('sever', operator, {
    system_account: system.getPublicKey(),
  });
  const systemJwt = await encodeAccount('SYS', system, accountClaims(), { signer: operator });
  const severAccountJwt = await encodeSeverAccount({
    operatorSeed: seedOf(operator),
    accountPublicKey: sever.getPublicKey(),
  });

  return {
    operatorSeed: seedOf(operator),
    operatorJwt,
    systemAccount: { publicKey: system.getPublicKey(), jwt: systemJwt },
    systemCreds: await userCreds('sever-system', system),
    severAccount: { publicKey: sever.getPublicKey(), jwt: severAccountJwt, seed: seedOf(sever) },
    controlPlaneCreds: await userCreds('control-plane', sever),
  };
}

export interface SeverAccountClaims {
  operatorSeed: string;
  accountPublicKey: string;
  /** User public key → seconds since 1970: user JWTs issued up to then are refused, and their clients dropped. */
  revocations?: Record<string, number>;
}

/** The claims of Sever's account, to be put into a broker's configuration or pushed to a running one. */
export async function encodeSeverAccount(claims: SeverAccountClaims): Promise<string> {
  const account = { ...accountClaims(), revocations: claims.revocations ?? {} };
  return encodeAccount('SEVER', fromPublic(claims.accountPublicKey), account, {
    signer: signingKey(claims.operatorSeed),
  });
}

/**
 * The same claims of an account with more revocations in them, signed anew. Issued later than `jwt` by at least a second:
 * of two claims a broker keeps the later one.
 */
export async function addRevocations(
  jwt: string,
  operatorSeed: string,
  revocations: ReadonlyMap<string, number>,
): Promise<string> {
  const claims = claimsOf<Account>(jwt);
  const present = claims.nats.revocations ?? {};
  const merged: Record<string, number> = { ...present };
  for (const [key, through] of revocations) merged[key] = Math.max(through, present[key] ?? 0);
  const now = Math.floor(Date.now() / 1_000);
  return issuedAt(
    { ...claims, nats: { ...claims.nats, revocations: merged } },
    Math.max(now, claims.iat + 1),
    operatorSeed,
  );
}

export interface UserGrant {
  accountSeed: string;
  /** The user's NATS public key (`U…`); its seed never leaves the enforcement point. */
  userPublicKey: string;
  name: string;
  publish: string[];
  subscribe: string[];
  /** Subscriptions the user may hold at once; default 64. */
  maxSubscriptions?: number;
  /** `iat` of the JWT, seconds since 1970; default now. Revocations are reckoned against it. */
  issuedAt?: number;
  /** After this moment the broker drops the user; default never. */
  expiresAt?: Date;
}

/**
 * A user JWT that allows exactly these subjects. There are no `allow_responses`: a client could make their holder
 * publish anywhere by naming that place as the reply subject.
 */
export async function mintUserJwt(grant: UserGrant): Promise<string> {
  const options = grant.expiresAt ? { exp: Math.floor(grant.expiresAt.getTime() / 1000) } : {};
  const jwt = await encodeUser(
    grant.name,
    fromPublic(grant.userPublicKey),
    signingKey(grant.accountSeed),
    {
      pub: exactly(grant.publish),
      sub: exactly(grant.subscribe),
      subs: grant.maxSubscriptions ?? 64,
      data: -1,
      payload: -1,
      allowed_connection_types: CLIENTS_ONLY,
    },
    options,
  );
  return grant.issuedAt === undefined
    ? jwt
    : issuedAt(claimsOf<User>(jwt), grant.issuedAt, grant.accountSeed);
}

/** The library stamps the time at which it signs; here the time is part of what is signed, so the stamp is not taken. */
async function issuedAt<T>(claims: ClaimsData<T>, iat: number, seed: string): Promise<string> {
  const stamped = Object.defineProperty({ ...claims }, 'iat', {
    enumerable: true,
    get: () => iat,
    set: () => undefined,
  });
  return encode(Algorithms.v2, stamped, signingKey(seed));
}

/**
 * Of a JWT that we just made ourselves, or that a broker has verified: nothing is left to verify, and verifying in
 * JavaScript would hold up a kill.
 */
export function claimsOf<T>(jwt: string): ClaimsData<T> {
  const [, payload = ''] = jwt.split('.');
  return JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as ClaimsData<T>;
}

/** To the server an empty allow list is no list, hence everything allowed. */
function exactly(subjects: string[]): { allow: string[]; deny: string[] } {
  return subjects.length > 0 ? { allow: subjects, deny: [] } : { allow: [], deny: ['>'] };
}

function accountClaims(): Partial<Account> {
  return { limits: { ...UNLIMITED } };
}

async function userCreds(name: string, account: KeyPair): Promise<string> {
  const user = nativeKeyPair(createUser().getSeed());
  const jwt = await encodeUser(name, user, account, {
    subs: -1,
    data: -1,
    payload: -1,
    allowed_connection_types: CLIENTS_ONLY,
  });
  return new TextDecoder().decode(fmtCreds(jwt, user));
}

function seedOf(key: KeyPair): string {
  return new TextDecoder().decode(key.getSeed());
}

/** A control plane signs with the same two seeds again and again; what is derived from them is worth keeping. */
const signingKeys = new Map<string, KeyPair>();

function signingKey(seed: string): KeyPair {
  const key = signingKeys.get(seed) ?? nativeKeyPair(seed);
  signingKeys.set(seed, key);
  return key;
}
