import { readFile } from 'node:fs/promises';
import { connect, credsAuthenticator, type NatsConnection } from '@nats-io/transport-node';
import type { BrokerAccess } from './stage';

/** A bare connection with the control plane's own credentials, which may see and say everything. */
export async function connectBroker({ url, credsFile }: BrokerAccess): Promise<NatsConnection> {
  const authenticator = credsAuthenticator(await readFile(credsFile));
  return connect({ servers: url, authenticator, noAsyncTraces: true });
}
