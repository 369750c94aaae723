import { setTimeout as delay } from 'node:timers/promises';
import { broadcastSubject, type Position } from '@sever/protocol';
import type { Logger } from 'pino';
import type { Broker } from '../broker/broker';
import type { Failpoints } from '../config/failpoints';
import type { Continuity } from '../database/continuity';
import type { Replica } from './replica';
import { digestAfter } from './read-entry';
import { RelayCursor, type RelayMark } from './relay-cursor';
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

/** One tenant's stream on its way out: what the cursor says is next is signed and published. */
export class Lane {
  private readonly cursor: RelayCursor<StoredEntry>;
  private draining = false;
  private publishedAt = -Infinity;

  constructor(
    readonly tenant: string,
    from: Position,
    private readonly ports: LanePorts,
  ) {
    this.cursor = new RelayCursor(from);
  }

  /** Everything up to here is queued or published. */
  get tail(): Position {
    return this.cursor.tail;
  }

  /** @returns false when there is a gap before these entries: what lies between must be read first. */
  offer(epoch: number, entries: readonly StoredEntry[]): boolean {
    const isWhole = this.cursor.offer(epoch, entries);
    if (isWhole && !this.cursor.isEmpty && !this.draining) void this.drain();
    return isWhole;
  }

  mark(): RelayMark {
    return this.cursor.mark();
  }

  confirm(mark: RelayMark): void {
    this.cursor.confirm(mark);
  }

  rewind(): void {
    this.cursor.rewind();
  }

  private async drain(): Promise<void> {
    this.draining = true;
    try {
      while (!this.cursor.isEmpty) {
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
    const batch = this.cursor.take(MAX_BATCH);
    if (batch === null) return;
    const { epoch, entries } = batch;
    await failpoints.hit('relay.before_publish');
    const messages = packEntries(await signed.of(this.tenant, epoch, entries));
    if (!this.cursor.mayPublish(batch)) return;
    const subject = broadcastSubject('stream', this.tenant);
    const last = entries.at(-1);
    if (last !== undefined)
      this.ports.continuity.committed(this.tenant, {
        ...{ epoch, seq: last.seq, digest: digestAfter(last.payload) },
      });
    if (!messages.every((message) => broker.publish(subject, message))) return this.rewind();
    this.publishedAt = replica.monotonic();
    this.cursor.handedOver(batch);
    await failpoints.hit('relay.after_publish');
  }
}
