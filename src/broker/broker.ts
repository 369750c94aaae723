import { readFile } from 'node:fs/promises';
import {
  connect,
  credsAuthenticator,
  type ConnectionOptions,
  type NatsConnection,
} from '@nats-io/transport-node';
import type { Logger } from 'pino';
import { verifyOperatorMode } from './operator-mode';
import { mintUserJwt, type UserGrant } from './operator';

/** Whoever sends more than this is not an enforcement point of ours. */
const MAX_INBOUND_BYTES = 1_048_576;
/** Enough for one that starts at the same time. Whoever restarts us waits longer; silence would help nobody. */
const CONNECT_WITHIN_MS = 8_000;

export interface BrokerOptions {
  /** Where this process connects to. */
  readonly url: string;
  /** Where enforcement points are told to connect to; by default `url`. */
  readonly publicUrls?: readonly string[];
  /** The control plane's credentials: the file, or its text. */
  readonly credsFile?: string;
  readonly creds?: string;
  /** Signs the user JWTs of enforcement points. */
  readonly accountSeed: string;
  /** Gives up the first connection after this long; default 8 s. Later ones are tried for ever. */
  readonly connectWithinMs?: number;
}

export interface BrokerMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  /** Where an answer is asked for. Whoever answers must first see that the asker may ask for it there. */
  readonly reply: string | undefined;
}

/**
 * The connection to NATS. The broker is a doorbell: what is published may be lost, so nothing here reports delivery.
 * `publish` while disconnected does nothing and says so.
 */
export class Broker {
  private connected = true;
  private readonly reconnectListeners: (() => void)[] = [];

  private constructor(
    private readonly connection: NatsConnection,
    private readonly options: BrokerOptions,
    private readonly log: Logger,
  ) {
    void this.followStatus();
  }

  /** @throws BrokerSetupError when the server is not run in operator mode, or for another account than ours. */
  static async connect(options: BrokerOptions, log: Logger): Promise<Broker> {
    const creds = options.creds ?? (await readFile(required(options.credsFile), 'utf8'));
    const settings: ConnectionOptions = {
      servers: options.url,
      name: 'sever-control-plane',
      authenticator: credsAuthenticator(new TextEncoder().encode(creds)),
      inboxPrefix: '_CP',
    };
    await verifyOperatorMode({
      settings,
      creds,
      accountSeed: options.accountSeed,
      withinMs: options.connectWithinMs ?? CONNECT_WITHIN_MS,
    });
    const connection = await connect({
      ...settings,
      maxReconnectAttempts: -1,
      reconnectTimeWait: 100,
      reconnectJitter: 50,
      pingInterval: 1_000,
      maxPingOut: 2,
      ignoreAuthErrorAbort: true,
      waitOnFirstConnect: true,
    });
    return new Broker(connection, options, log);
  }

  get urls(): string[] {
    return [...(this.options.publicUrls ?? [this.options.url])];
  }

  isConnected(): boolean {
    return this.connected && !this.connection.isClosed();
  }

  /** @returns false when there is no connection: the message is gone. */
  publish(subject: string, data: string | Uint8Array): boolean {
    if (!this.isConnected()) return false;
    try {
      this.connection.publish(subject, data);
      return true;
    } catch (error) {
      this.log.warn({ err: error, subject }, 'could not publish');
      return false;
    }
  }

  /** Resolves once the server has taken everything published so far; that says nothing about anyone's receiving it. */
  async flush(): Promise<void> {
    await this.connection.flush();
  }

  /** Every replica hears every message: no queue groups. A handler that fails is logged, and the next message handled. */
  subscribe(
    subject: string,
    handle: (message: BrokerMessage) => void | Promise<void>,
  ): { unsubscribe(): void } {
    const failed = (error: unknown): void =>
      this.log.error({ err: error, subject }, 'could not handle a message');
    return this.connection.subscribe(subject, {
      callback: (error, message) => {
        if (error) return failed(error);
        if (message.data.length > MAX_INBOUND_BYTES) return;
        void (async () =>
          handle({ subject: message.subject, data: message.data, reply: message.reply }))().catch(
          failed,
        );
      },
    });
  }

  /** Messages may have been lost before this is called. */
  onReconnect(listener: () => void): void {
    this.reconnectListeners.push(listener);
  }

  /** A user JWT that the broker takes from an enforcement point, for exactly these subjects. */
  async mintUserJwt(grant: Omit<UserGrant, 'accountSeed'>): Promise<string> {
    return mintUserJwt({ ...grant, accountSeed: this.options.accountSeed });
  }

  async close(): Promise<void> {
    await this.connection.close();
  }

  private async followStatus(): Promise<void> {
    for await (const status of this.connection.status())
      switch (status.type) {
        case 'disconnect':
          this.connected = false;
          this.log.warn({ server: status.server }, 'broker connection lost');
          break;
        case 'reconnect':
          this.connected = true;
          this.log.info({ server: status.server }, 'broker connected again');
          for (const listener of this.reconnectListeners) listener();
          break;
        case 'error':
          this.log.warn({ err: status.error }, 'broker error');
          break;
        default:
      }
    this.connected = false;
  }
}

function required(file: string | undefined): string {
  if (file === undefined) throw new TypeError('either creds or credsFile must be given');
  return file;
}
