import type { Account } from '@nats-io/jwt';
import { fromSeed } from '@nats-io/nkeys';
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import { addRevocations, claimsOf } from './operator';
import { BrokerSetupError } from './operator-mode';

/** Together less than a transaction may stand idle: the caller holds a lock meanwhile. */
const ANSWER_MS = 1_200;
const CONNECT_MS = 2_000;

export interface UserRevocationsOptions {
  readonly url: string;
  /** The account whose users are revoked: the one that enforcement points are in. */
  readonly accountSeed: string;
  /** What it takes to change the account's claims; without it nobody can be revoked at the broker. */
  readonly authority?: RevocationAuthority | undefined;
}

export interface RevocationAuthority {
  readonly operatorSeed: string;
  readonly systemCreds: string;
}

/** User public key → seconds since 1970: what was issued to it up to then is dead. */
export type DeadUsers = ReadonlyMap<string, number>;

/**
 * Ends users at the broker: the claims of their account name them, so their connections are closed and they are not let
 * in again. A connection is opened for each change; the rights of the system account are not kept at hand.
 */
export class UserRevocations {
  private readonly account: string;

  /** @throws BrokerSetupError when the seed is not an operator's */
  constructor(private readonly options: UserRevocationsOptions) {
    this.account = publicKeyOf(options.accountSeed);
    if (options.authority && !publicKeyOf(options.authority.operatorSeed).startsWith('O'))
      throw new BrokerSetupError(
        'SEVER_NATS_OPERATOR_SEED_FILE is not the seed of an operator. Give the operator.seed that `sever broker init` wrote.',
      );
  }

  /** False: nobody can be revoked at this broker. */
  get possible(): boolean {
    return this.options.authority !== undefined;
  }

  /**
   * Hands out the account's claims as they stand at the broker.
   *
   * @throws when the broker is not reached, or does not let us in
   */
  async open<T>(work: (claims: LiveClaims) => Promise<T>): Promise<T> {
    const { authority, url } = this.options;
    if (authority === undefined) throw new TypeError('there is no authority to revoke users');
    const connection = await connect({
      servers: url,
      name: 'sever-revocations',
      authenticator: credsAuthenticator(new TextEncoder().encode(authority.systemCreds)),
      reconnect: false,
      timeout: CONNECT_MS,
    });
    try {
      return await work(new LiveClaims(connection, this.account, authority.operatorSeed));
    } finally {
      await connection.close();
    }
  }
}

/** The claims of the account at a running broker. */
export class LiveClaims {
  constructor(
    private readonly connection: NatsConnection,
    private readonly account: string,
    private readonly operatorSeed: string,
  ) {}

  /**
   * Sees to it that the broker knows all of these as dead. What else the claims say, also about others, stays as it is.
   * Whoever calls must see to it that nobody does the same at that moment: the last writer wins.
   *
   * @returns true if it did not know them all before
   * @throws when it does not know them all afterwards
   */
  async revoke(dead: DeadUsers): Promise<boolean> {
    const present = await this.present();
    if (knows(present, dead)) return false;
    const answer = await this.connection.request(
      '$SYS.REQ.CLAIMS.UPDATE',
      await addRevocations(present, this.operatorSeed, dead),
      { timeout: ANSWER_MS },
    );
    const { error } = answer.json<{ error?: { description?: string } }>();
    if (error)
      throw new Error(`the broker refuses the claims: ${error.description ?? 'no reason'}`);
    // Another writer, or a server that keeps no claims: what it said is not what counts.
    if (!knows(await this.present(), dead))
      throw new Error('the broker does not keep the claims that it was given');
    return true;
  }

  private async present(): Promise<string> {
    const subject = `$SYS.REQ.ACCOUNT.${this.account}.CLAIMS.LOOKUP`;
    const jwt = (await this.connection.request(subject, '', { timeout: ANSWER_MS })).string();
    const { sub, iss } = claimsOf<Account>(jwt);
    if (sub !== this.account) throw new Error('the broker answers with claims of another account');
    if (iss !== publicKeyOf(this.operatorSeed))
      throw new Error(
        'the claims at the broker are signed by another operator than SEVER_NATS_OPERATOR_SEED_FILE',
      );
    return jwt;
  }
}

function knows(jwt: string, dead: DeadUsers): boolean {
  const revocations = claimsOf<Account>(jwt).nats.revocations ?? {};
  return [...dead].every(([key, through]) => (revocations[key] ?? 0) >= through);
}

function publicKeyOf(seed: string): string {
  return fromSeed(new TextEncoder().encode(seed.trim())).getPublicKey();
}
