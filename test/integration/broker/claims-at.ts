import { readFileSync } from 'node:fs';
import { decode, type Account } from '@nats-io/jwt';
import { fromSeed } from '@nats-io/nkeys';
import { connect, credsAuthenticator } from '@nats-io/transport-node';
import { UserRevocations } from '../../../src/broker/user-revocations';
import type { TestBroker } from '../../support/broker';

const accountSeedOf = (broker: TestBroker): string => readFileSync(broker.accountSeedFile, 'utf8');

export function revocationsOf(broker: TestBroker): UserRevocations {
  return new UserRevocations({
    url: broker.url,
    accountSeed: accountSeedOf(broker),
    authority: {
      operatorSeed: readFileSync(broker.operatorSeedFile, 'utf8'),
      systemCreds: readFileSync(broker.systemCredsFile, 'utf8'),
    },
  });
}

/** The revocations that the broker itself goes by: user → seconds. */
export async function revocationsAt(broker: TestBroker): Promise<Record<string, number>> {
  const seed = new TextEncoder().encode(accountSeedOf(broker).trim());
  const account = fromSeed(seed).getPublicKey();
  const system = await connect({
    servers: broker.url,
    authenticator: credsAuthenticator(readFileSync(broker.systemCredsFile)),
    reconnect: false,
  });
  try {
    const reply = await system.request(`$SYS.REQ.ACCOUNT.${account}.CLAIMS.LOOKUP`, '');
    return decode<Account>(reply.string()).nats.revocations ?? {};
  } finally {
    await system.close();
  }
}
