import { comparePositions, type Position } from '@sever/protocol';
import type { Logger } from 'pino';
import { type Broker } from '../broker/broker';
import { type Continuity } from '../database/continuity';
import { Listener } from '../database/listener';
import { Lane, type LanePorts } from './lane';
import { type Sightings } from './sightings';
import { type StreamStore, type StoredEntry, type TenantHead } from './stream.store';

const POLL_MS = 250;
const READ_LIMIT = 500;
/** The channel on which the database tells that a tenant's stream has grown. */
export const STREAM_CHANNEL = 'sever_stream';

export interface RelayPorts extends LanePorts {
  readonly broker: Broker;
  readonly store: StreamStore;
  readonly sightings: Sightings;
  readonly continuity: Continuity;
  readonly databaseUrl: string;
  readonly log: Logger;
}

/**
 * Publishes what has been committed. There is no "sent" flag: any replica may publish anything again, for an entry
 * that comes twice changes nothing at an enforcement point. It looks right after a commit of this process, when the
 * database notifies, and every 250 ms; so a commit whose replica died before it could publish is published by the next
 * look of any other, or by its own after the restart.
 */
export class Relay {
  private readonly lanes = new Map<string, Promise<Lane | null>>();
  private readonly opened: Lane[] = [];
  private readonly reading = new Map<string, { again: boolean }>();
  private readonly listener: Listener;
  private timer: NodeJS.Timeout | undefined;
  private looking = false;
  private closed = false;

  constructor(private readonly ports: RelayPorts) {
    this.listener = new Listener(
      ports.databaseUrl,
      STREAM_CHANNEL,
      (tenant) => void this.notified(tenant),
      ports.log,
    );
  }

  async onApplicationBootstrap(): Promise<void> {
    this.ports.broker.onReconnect(() => this.publishAgain());
    // Heard first, then read: what is committed between the two is in one of them.
    await this.listener.start();
    await this.look();
    this.timer = setInterval(() => void this.look(), POLL_MS);
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.closed = true;
    clearInterval(this.timer);
    await this.listener.close();
  }

  /** Called right after COMMIT by whoever appended: the fast road, without another read. */
  committed(tenant: string, epoch: number, entries: readonly StoredEntry[]): void {
    const last = entries.at(-1);
    if (last === undefined) return;
    this.ports.sightings.see(tenant, { epoch, seq: last.seq });
    void this.lane(tenant)
      .then((lane) => {
        if (lane === null || !lane.offer(epoch, entries)) return this.catchUp(tenant);
        return undefined;
      })
      .catch((error: unknown) => this.failed(error, tenant));
  }

  /** Without the broker nothing is read to be published, but those who listen over HTTP wait for the news as well. */
  private async notified(tenant: string): Promise<void> {
    await (this.ports.broker.isConnected() ? this.catchUp(tenant) : this.look());
  }

  private async look(): Promise<void> {
    if (this.looking || this.closed) return;
    this.looking = true;
    try {
      const heads = await this.readHeads();
      for (const head of heads) this.ports.sightings.see(head.tenant, head);
      if (!this.ports.broker.isConnected()) return;
      for (const head of heads) {
        const lane = await this.lane(head.tenant);
        if (lane && comparePositions(head, lane.tail) > 0) void this.catchUp(head.tenant);
      }
      void this.confirm();
    } catch (error) {
      this.ports.log.warn({ err: error }, 'could not look for committed entries');
    } finally {
      this.looking = false;
    }
  }

  /** Heads of a database that has not gone back, or that has opened a new epoch since. */
  private async readHeads(): Promise<TenantHead[]> {
    const { continuity, store } = this.ports;
    const known = continuity.known();
    const heads = await store.heads();
    if (!heads.some((head) => isBehind(head, known.get(head.tenant)))) {
      for (const { tenant, epoch, seq, leaseMs } of heads)
        continuity.committed(tenant, { epoch, seq, leaseMs });
      return heads;
    }
    await continuity.check();
    return store.heads();
  }

  /** One reader a tenant; who comes meanwhile makes it read once more. */
  private async catchUp(tenant: string): Promise<void> {
    const present = this.reading.get(tenant);
    if (present !== undefined) {
      present.again = true;
      return;
    }
    const mine = { again: false };
    this.reading.set(tenant, mine);
    try {
      do {
        mine.again = false;
        await this.readOn(tenant);
      } while (mine.again && !this.closed);
    } catch (error) {
      this.failed(error, tenant);
    } finally {
      this.reading.delete(tenant);
    }
  }

  private async readOn(tenant: string): Promise<void> {
    const lane = await this.lane(tenant);
    while (lane !== null && !this.closed && this.ports.broker.isConnected()) {
      const found = await this.ports.store.entriesAfter(tenant, lane.tail, READ_LIMIT);
      const last = found?.entries.at(-1);
      if (!found || !last) return;
      this.ports.sightings.see(tenant, { epoch: found.epoch, seq: last.seq });
      lane.offer(found.epoch, found.entries);
      if (found.entries.length < READ_LIMIT) return;
    }
  }

  private lane(tenant: string): Promise<Lane | null> {
    let lane = this.lanes.get(tenant);
    if (lane === undefined) {
      lane = this.ports.store
        .republishFrom(tenant)
        .then((from) => (from === null ? null : this.open(tenant, from)));
      const forget = (): void => void this.lanes.delete(tenant);
      lane.then((opened) => opened === null && forget(), forget);
      this.lanes.set(tenant, lane);
    }
    return lane;
  }

  private open(tenant: string, from: Position): Lane {
    const lane = new Lane(tenant, from, this.ports);
    this.opened.push(lane);
    return lane;
  }

  private async confirm(): Promise<void> {
    const marks = this.opened.map((lane) => [lane, lane.mark()] as const);
    try {
      await this.ports.broker.flush();
    } catch {
      return; // disconnected: what is not confirmed is published again
    }
    if (this.ports.broker.isConnected()) for (const [lane, mark] of marks) lane.confirm(mark);
  }

  /** At once: a flush that was begun before the connection was lost proves nothing any more. */
  private publishAgain(): void {
    for (const lane of this.opened) {
      lane.rewind();
      void this.catchUp(lane.tenant);
    }
  }

  private failed(error: unknown, tenant: string): void {
    if (!this.closed) this.ports.log.warn({ err: error, tenant }, 'could not read the stream');
  }
}

function isBehind(head: Position, mark: Position | undefined): boolean {
  return mark !== undefined && comparePositions(head, mark) < 0;
}
