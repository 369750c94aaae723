import { readFile } from 'node:fs/promises';
import { connect, credsAuthenticator } from '@nats-io/transport-node';

const WITHIN_MS = 5_000;

/** One message to publish from a process that is no control plane. */
export interface OneMessage {
  readonly url: string;
  readonly credsFile: string;
  readonly subject: string;
  readonly message: string;
}

/**
 * Connects, publishes, waits until the server has taken it, and leaves. Who hears it nobody knows.
 *
 * @throws when the broker cannot be reached in 5 s or does not let these credentials publish there
 */
export async function publishOnce({ url, credsFile, subject, message }: OneMessage): Promise<void> {
  const connection = await connect({
    servers: url,
    name: 'sever-halt',
    authenticator: credsAuthenticator(await readFile(credsFile)),
    timeout: WITHIN_MS,
    reconnect: false,
  });
  let denied: Error | undefined;
  void (async () => {
    for await (const status of connection.status())
      if (status.type === 'error') denied = status.error;
  })();
  try {
    connection.publish(subject, message);
    // The server answers in order: a refusal has come before this returns.
    await connection.flush();
    if (denied !== undefined) throw denied;
  } finally {
    await connection.close();
  }
}
