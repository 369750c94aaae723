import { encodeAccount, encodeOperator, encodeUser, fmtCreds, type Account } from '@nats-io/jwt';
import { createAccount, createOperator, createUser, fromPublic, fromSeed } from '@nats-io/nkeys';

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
  const operator = createOperator();
  const system = createAccount();
  const sever = createAccount();

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
    signer: fromSeed(bytes(claims.operatorSeed)),
  });
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
  /** After this moment the broker drops the user; default never. */
  expiresAt?: Date;
}

/**
 * A user JWT that allows exactly these subjects. There are no `allow_responses`: a client could make their holder
 * publish anywhere by naming that place as the reply subject.
 */
export async function mintUserJwt(grant: UserGrant): Promise<string> {
  const options = grant.expiresAt ? { exp: Math.floor(grant.expiresAt.getTime() / 1000) } : {};
  return encodeUser(
    grant.name,
    fromPublic(grant.userPublicKey),
    fromSeed(bytes(grant.accountSeed)),
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
}

/** To the server an empty allow list is no list, hence everything allowed. */
function exactly(subjects: string[]): { allow: string[]; deny: string[] } {
  return subjects.length > 0 ? { allow: subjects, deny: [] } : { allow: [], deny: ['>'] };
}

function accountClaims(): Partial<Account> {
  return { limits: { ...UNLIMITED } };
}

interface SeededKey {
  getSeed(): Uint8Array;
}

async function userCreds(name: string, account: ReturnType<typeof createAccount>): Promise<string> {
  const user = createUser();
  const jwt = await encodeUser(name, user, account, {
    subs: -1,
    data: -1,
    payload: -1,
    allowed_connection_types: CLIENTS_ONLY,
  });
  return new TextDecoder().decode(fmtCreds(jwt, user));
}

function seedOf(key: SeededKey): string {
  return new TextDecoder().decode(key.getSeed());
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text.trim());
}
