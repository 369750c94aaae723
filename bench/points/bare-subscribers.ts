import type { KeyObject } from 'node:crypto';
import type { NatsConnection } from '@nats-io/transport-node';
import { isSigned, numberOf, readKey } from '../floors/floor-message';
import { monotonicMs } from '../measure/monotonic';
import { connectBroker } from '../stage/broker-connection';
import type { BrokerAccess } from '../stage/stage';

/** Messages are told apart by the subject: to be taken as they come, or to be verified first. */
export const BARE = 'bench.bare';
export const SIGNED = 'bench.signed';
/** Verified, and answered at once by each subscriber. */
export const ANSWERED = 'bench.answered';
export const ANSWERS = 'bench.answers';

/** The floor of the fan-out: subscribers without anything behind them, in the processes of the enforcement points. */
export class BareSubscribers {
  private readonly lastAt = new Map<number, { count: number; at: number }>();
  private key: KeyObject | undefined;

  private constructor(private readonly connections: readonly NatsConnection[]) {}

  static async connect(
    broker: BrokerAccess,
    count: number,
    publicKey: string,
  ): Promise<BareSubscribers> {
    const connections = await Promise.all(
      Array.from({ length: count }, () => connectBroker(broker)),
    );
    const subscribers = new BareSubscribers(connections);
    subscribers.key = readKey(publicKey);
    for (const connection of connections) subscribers.subscribe(connection);
    await Promise.all(connections.map((connection) => connection.flush()));
    return subscribers;
  }

  /** How many of these took the message, and when the last one had. */
  last(number: number): { count: number; at: number } {
    return this.lastAt.get(number) ?? { count: 0, at: NaN };
  }

  async close(): Promise<void> {
    await Promise.all(this.connections.map((connection) => connection.close()));
  }

  private subscribe(connection: NatsConnection): void {
    connection.subscribe(BARE, { callback: (_, message) => this.took(message.data) });
    connection.subscribe(SIGNED, { callback: (_, message) => this.tookSigned(message.data) });
    connection.subscribe(ANSWERED, {
      callback: (_, message) => {
        this.tookSigned(message.data);
        connection.publish(ANSWERS, message.data);
      },
    });
  }

  private tookSigned(message: Uint8Array): void {
    if (this.key === undefined || !isSigned(message, this.key)) throw new Error('not signed');
    this.took(message);
  }

  private took(message: Uint8Array): void {
    const at = monotonicMs();
    const number = numberOf(message);
    const { count } = this.last(number);
    this.lastAt.set(number, { count: count + 1, at });
  }
}
