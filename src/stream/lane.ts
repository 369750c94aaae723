import { setTimeout as delay } from 'node:timers/promises';
import { broadcastSubject, comparePositions, type Position } from '@sever/protocol';
import type { Logger } from 'pino';
import type { Broker } from '../broker/broker';
import type { Failpoints } from '../config/failpoints';
import type { Continuity } from '../database/continuity';
import type { Replica } from './replica';
import { digestAfter } from './read-entry';
import { packEntries, type SignedEntries } from './signed-entries';
import type { StoredEntry } from './stream.store';

/** Under load entries wait this long for each other; the first of a burst leaves at once. */
const COALESCE_MS = 2;
const MAX_BATCH = 500;

export interface LanePorts {
  readonly broker: Pick<Broker, 'publish' | 'isConnected'>;
  readonly signed: SignedEntries;
  readonly failpoints: Pick<Failpoints, 'hit'>;
  readonly replica: Replica;
  readonly continuity: Pick<Continuity, 'committed'>;
  readonly log: Logger;
}

/** One tenant's stream on its way out: in order, without a gap, each entry at least once. */
export class Lane {
  private queue: (Position & { readonly payload: string })[] = [];
  private draining = false;
  private publishedAt = -Infinity;
  /** The newest place that has been queued. */
  private queued: Position;
  private published: Position;
  /** The newest place that the server is known to have taken. */
  private safe: Position;
  private rewinds = 0;

  constructor(
    readonly tenant: string,
    from: Position,
    private readonly ports: LanePorts,
  ) {
    this.queued = this.published = this.safe = from;
  }

  /** Everything up to here is queued or published. */
  get tail(): Position {
    return this.queued;
  }

  get publishedUpTo(): Position {
    return this.published;
  }

  /** @returns false when there is a gap before these entries: what lies between must be read first. */
  offer(epoch: number, entries: readonly StoredEntry[]): boolean {
    if (epoch > this.queued.epoch) this.queued = { epoch, seq: 0 };
    if (epoch < this.queued.epoch) return true;
    for (const { seq, payload } of entries) {
      if (seq <= this.queued.seq) continue;
      if (seq > this.queued.seq + 1) return false;
      this.queued = { epoch, seq };
      this.queue.push({ epoch, seq, payload });
    }
    if (this.queue.length > 0 && !this.draining) void this.drain();
    return true;
  }

  confirm(upTo: Position): void {
    if (comparePositions(upTo, this.safe) > 0) this.safe = upTo;
  }

  /** The connection was lost, and with it perhaps whatever the server had not confirmed. */
  rewind(): void {
    this.rewinds += 1;
    this.queue = [];
    this.queued = this.published = this.safe;
  }

  private async drain(): Promise<void> {
    this.draining = true;
    try {
      while (this.queue.length > 0) {
        const wait = this.publishedAt + COALESCE_MS - this.ports.replica.monotonic();
        if (wait > 0) await delay(wait);
        await this.publishNext();
      }
    } catch (error) {
      this.ports.log.error({ err: error, tenant: this.tenant }, 'could not publish the stream');
      this.rewind();
    } finally {
      this.draining = false;
    }
  }

  private async publishNext(): Promise<void> {
    const { broker, failpoints, signed, replica } = this.ports;
    const epoch = this.queue[0]?.epoch;
    if (epoch === undefined) return;
    const end = this.queue.findIndex((entry) => entry.epoch !== epoch);
    const batch = this.queue.splice(0, Math.min(end === -1 ? this.queue.length : end, MAX_BATCH));
    const { rewinds } = this;
    await failpoints.hit('relay.before_publish');
    const messages = packEntries(await signed.of(this.tenant, epoch, batch));
    // What came before this batch may be lost by now: it will be read again, with what came before.
    if (rewinds !== this.rewinds) return;
    const subject = broadcastSubject('stream', this.tenant);
    const last = batch.at(-1);
    if (last !== undefined)
      this.ports.continuity.committed(this.tenant, {
        ...{ epoch, seq: last.seq, digest: digestAfter(last.payload) },
      });
    if (!messages.every((message) => broker.publish(subject, message))) return this.rewind();
    this.publishedAt = replica.monotonic();
    this.published = last ?? this.published;
    await failpoints.hit('relay.after_publish');
  }
}
