import { setTimeout as delay } from 'node:timers/promises';
import { decode, parseCreds, type User } from '@nats-io/jwt';
import { createUser, fromSeed } from '@nats-io/nkeys';
import {
  AuthorizationError,
  connect,
  jwtAuthenticator,
  UserAuthenticationExpiredError,
  type ConnectionOptions,
} from '@nats-io/transport-node';
import { mintUserJwt } from './operator';

/** The broker is not one that Sever can rely on; the message says what to do. */
export class BrokerSetupError extends Error {
  override readonly name = 'BrokerSetupError';
}

const REMEDY =
  'Run it with the configuration that `sever broker init DIR` writes, and give the control plane the files from the ' +
  'same DIR (SEVER_NATS_CREDS, SEVER_NATS_ACCOUNT_SEED_FILE).';
const RETRY_MS = 200;
/** A server that does not know an account looks for it for two seconds before it says no. */
const ANSWER_MS = 6_000;
/** Less than this is no time to connect in. */
const LEAST_MS = 200;

export interface OperatorModeCheck {
  readonly settings: ConnectionOptions;
  readonly creds: string;
  readonly accountSeed: string;
  readonly withinMs: number;
}

/**
 * Everything rests on the broker letting each enforcement point use its own subjects alone: identity is taken from the
 * subject. So before the first use: nobody gets in without a JWT, and a user signed by our account gets in.
 */
export async function verifyOperatorMode(check: OperatorModeCheck): Promise<void> {
  await refuseForeignSeed(check);
  const { settings, accountSeed } = check;
  await firstConnection(check);
  const { authenticator: _, ...anonymous } = settings;
  if (await isAdmitted(anonymous))
    throw new BrokerSetupError(
      `The NATS server at ${String(settings.servers)} admits clients without credentials. ${REMEDY}`,
    );
  const probe = createUser();
  const jwt = await mintUserJwt({
    accountSeed,
    userPublicKey: probe.getPublicKey(),
    name: 'sever-probe',
    publish: [],
    subscribe: [],
    expiresAt: new Date(Date.now() + 60_000),
  });
  if (!(await isAdmitted({ ...settings, authenticator: jwtAuthenticator(jwt, probe.getSeed()) })))
    throw new BrokerSetupError(
      `The NATS server at ${String(settings.servers)} is not in operator mode, or does not trust our account. ${REMEDY}`,
    );
}

/** Users minted with this seed must land in the account that the control plane itself is in. */
async function refuseForeignSeed({ creds, accountSeed }: OperatorModeCheck): Promise<void> {
  const { jwt } = await parseCreds(new TextEncoder().encode(creds));
  const claims = decode<User>(jwt);
  const account = claims.nats.issuer_account ?? claims.iss;
  if (fromSeed(new TextEncoder().encode(accountSeed.trim())).getPublicKey() !== account)
    throw new BrokerSetupError(
      `SEVER_NATS_ACCOUNT_SEED_FILE is not the seed of the account that SEVER_NATS_CREDS belongs to. ${REMEDY}`,
    );
}

/** Waits for a server that is still starting; one that answers "no" is not waited for. */
async function firstConnection({ settings, withinMs }: OperatorModeCheck): Promise<void> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    try {
      const left = Math.max(deadline - performance.now(), LEAST_MS);
      const timeout = Math.min(left, ANSWER_MS);
      const connection = await connect({ ...settings, reconnect: false, timeout });
      await connection.close();
      return;
    } catch (error) {
      if (isRefusal(error))
        throw new BrokerSetupError(
          `The NATS server at ${String(settings.servers)} refuses our credentials. ${REMEDY}`,
          { cause: error },
        );
      if (performance.now() + RETRY_MS > deadline) throw unreachable(settings, error);
      await delay(RETRY_MS);
    }
  }
}

async function isAdmitted(settings: ConnectionOptions): Promise<boolean> {
  try {
    const connection = await connect({ ...settings, reconnect: false, timeout: ANSWER_MS });
    await connection.close();
    return true;
  } catch (error) {
    if (isRefusal(error)) return false;
    throw unreachable(settings, error);
  }
}

function unreachable(settings: ConnectionOptions, cause: unknown): BrokerSetupError {
  return new BrokerSetupError(
    `No NATS server answers at ${String(settings.servers)} (SEVER_NATS_URL); start it, or correct the URL.`,
    { cause },
  );
}

function isRefusal(error: unknown): boolean {
  return error instanceof AuthorizationError || error instanceof UserAuthenticationExpiredError;
}
