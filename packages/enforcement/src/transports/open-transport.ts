import type { EnrolReply } from '@sever/protocol';
import type { Clock, Timers } from '../clock';
import type { Transport } from '../transport';
import type { TransportChoice } from '../types';
import { AutoTransport } from './auto';
import { HttpTransport } from './http';
import { NatsTransport } from './nats';

export interface OpenTransportOptions {
  readonly url: string;
  readonly enrolled: EnrolReply;
  /** Seed of the NATS user. */
  readonly seed: Uint8Array;
  readonly clock: Clock;
  readonly timers: Timers;
  /** With both roads: whether the broker, by itself, is reached. */
  readonly onBroker: (connected: boolean) => void;
}

export function openTransport(choice: TransportChoice, options: OpenTransportOptions): Transport {
  const { url, enrolled, seed, clock, timers, onBroker } = options;
  const { tenant, id: ep, nats: access, access_key: accessKey } = enrolled;
  switch (choice) {
    case 'nats':
      return new NatsTransport({ tenant, ep, seed, access });
    case 'http':
      return new HttpTransport({ url, accessKey, clock, timers });
    case 'auto':
      return new AutoTransport({
        broker: new NatsTransport({ tenant, ep, seed, access }),
        http: new HttpTransport({ url, accessKey, clock, timers }),
        ...{ clock, timers, onBroker },
      });
  }
}
