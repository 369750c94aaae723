import { broadcastSubject, PULSE_INTERVAL_MS, typOf, type Pulse } from '@sever/protocol';
import type { Logger } from 'pino';
import { type Broker } from '../broker/broker';
import { type SigningKeys } from '../signing/signing-keys';
import { type Replica } from './replica';
import { type Sightings } from './sightings';
import { type StreamStore, type PulseHead } from './stream.store';

/** Up to here every receipt may come at once. */
const CROWD = 5;
const WINDOW_MS_PER_BOOT = 0.2;
const MAX_WINDOW_MS = 1_000;
const NEW_MS = 3 * PULSE_INTERVAL_MS;

/** Receipts compete with delivery for the same broker: the more of them there are, the longer they are spread. */
export function receiptWindowMs(boots: number): number {
  return boots <= CROWD ? 0 : Math.min(MAX_WINDOW_MS, Math.ceil(boots * WINDOW_MS_PER_BOOT));
}

/** Tells every 500 ms where the head is, so that a lost entry is noticed. */
export class PulseSource {
  private readonly told = new Map<string, { readonly jws: string; readonly at: number }>();
  private timer: NodeJS.Timeout | undefined;
  private beating = false;
  private n = 0;

  constructor(
    private readonly ports: {
      readonly broker: Broker;
      readonly store: StreamStore;
      readonly keys: SigningKeys;
      readonly sightings: Sightings;
      readonly replica: Replica;
      readonly log: Logger;
    },
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => void this.beat(), PULSE_INTERVAL_MS);
  }

  beforeApplicationShutdown(): void {
    clearInterval(this.timer);
  }

  /** The last pulse of this replica as it was signed, unless it is old: for those whom the broker does not reach. */
  newest(tenant: string): string | null {
    const pulse = this.told.get(tenant);
    const isNew = pulse && this.ports.replica.monotonic() - pulse.at < NEW_MS;
    return isNew ? pulse.jws : null;
  }

  /** Without the database there is nothing to say: a pulse from memory could only repeat itself. */
  private async beat(): Promise<void> {
    if (this.beating) return;
    this.beating = true;
    try {
      const heads = await this.ports.store.pulseHeads();
      this.n += 1;
      const n = this.n;
      await Promise.all(heads.map((head) => this.tell(head, n)));
    } catch (error) {
      this.ports.log.warn({ err: error }, 'no pulse');
    } finally {
      this.beating = false;
    }
  }

  private async tell(head: PulseHead, n: number): Promise<void> {
    const { tenant, epoch, seq, now, boots } = head;
    this.ports.sightings.see(tenant, head);
    const pulse: Pulse = {
      type: 'pulse',
      v: 1,
      tenant,
      epoch,
      head: seq,
      source: this.ports.replica.id,
      n,
      now,
      receipt_window_ms: receiptWindowMs(boots),
    };
    const text = JSON.stringify(pulse);
    const jws = await this.ports.keys.sign(tenant, 'stream', typOf('pulse'), text);
    this.told.set(tenant, { jws, at: this.ports.replica.monotonic() });
    this.ports.broker.publish(broadcastSubject('pulse', tenant), jws);
  }
}
