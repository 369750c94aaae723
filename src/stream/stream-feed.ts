import {
  comparePositions,
  formatPosition,
  parsePosition,
  ProblemError,
  type Position,
  type StreamPage,
} from '@sever/protocol';
import type { Logger } from 'pino';
import { within } from '../database/reach';
import { Batcher } from './batcher';
import type { EmergencyEvents } from './emergency-events';
import type { OpenEmergencies } from './open-emergencies';
import type { PulseSource } from './pulse';
import type { Replica } from './replica';
import { Seats, type Seat } from './seats';
import type { Sightings } from './sightings';
import { asManyAsFit, type SignedEntries } from './signed-entries';
import type { StoredNews, StreamStore } from './stream.store';

const MAX_ENTRIES = 500;
/** After a read that failed nothing may wake the listener for what it missed. */
const READ_AGAIN_MS = 1_000;
/** A database that is frozen must not keep an emergency from those who listen. */
const READ_WITHIN_MS = 1_000;

export interface StreamFeedPorts {
  readonly store: StreamStore;
  readonly signed: SignedEntries;
  readonly sightings: Sightings;
  readonly pulses: PulseSource;
  readonly emergencies: EmergencyEvents;
  readonly open: OpenEmergencies;
  readonly replica: Replica;
  readonly log: Logger;
}

export interface StreamQuestion {
  /** Left out: he knows nothing yet, and asks where the stream is. */
  readonly after?: Position | undefined;
  readonly heard?: string | undefined;
  readonly waitMs: number;
}

type Told = Pick<StreamPage, 'next' | 'heard' | 'entries' | 'compacted' | 'emergencies'>;

interface Read extends Pick<Told, 'next' | 'entries' | 'compacted'> {
  readonly failed?: boolean;
}

/**
 * The stream for those who ask instead of being called: each question waits until there is something to tell. It holds
 * no connection while it waits, and it listens before it reads, so that what happens in between wakes it.
 */
export class StreamFeed {
  private readonly seats = new Seats();
  private readonly reads = new Map<string, Batcher<Position, StoredNews | null>>();

  constructor(private readonly ports: StreamFeedPorts) {}

  /** Whoever waits is answered now, with what there is. */
  onModuleDestroy(): void {
    this.seats.close();
  }

  /** @param listener who asks; an older question of the same listener is answered at once */
  async ask(tenant: string, listener: string, question: StreamQuestion): Promise<StreamPage> {
    const { replica, sightings, emergencies } = this.ports;
    const until = replica.monotonic() + question.waitMs;
    const name = `${tenant}/${listener}`;
    const seat = this.seats.take(name);
    const subscriptions = [
      sightings.grown.subscribe((grown) => {
        if (grown.tenant === tenant && isNews(grown.position, question.after)) seat.tell();
      }),
      emergencies.told.subscribe((emergency) => {
        if (emergency.tenant === tenant) seat.tell();
      }),
    ];
    try {
      const told = await this.untilNews(tenant, question, seat, until);
      return { type: 'stream-page', v: 1, ...told, pulse: this.ports.pulses.newest(tenant) };
    } finally {
      for (const subscription of subscriptions) subscription.unsubscribe();
      this.seats.leave(name, seat);
    }
  }

  private async untilNews(
    tenant: string,
    question: StreamQuestion,
    seat: Seat,
    until: number,
  ): Promise<Told> {
    for (;;) {
      const { failed = false, ...news } = await this.read(tenant, question);
      // After the read: an emergency that comes during it is told with it.
      const told = { ...news, ...this.ports.open.since(tenant, question.heard) };
      const left = until - this.ports.replica.monotonic();
      const isNews = told.entries.length + told.emergencies.length > 0 || told.compacted;
      if (isNews || question.after === undefined || seat.over || left <= 0) return told;
      await seat.wait(failed ? Math.min(left, READ_AGAIN_MS) : left);
    }
  }

  private async read(tenant: string, { after }: StreamQuestion): Promise<Read> {
    if (after === undefined) {
      const head = await this.ports.store.head(tenant);
      if (head === null) throw new ProblemError('not_found', 'This tenant has no stream.');
      return { next: formatPosition(head), entries: [], compacted: false };
    }
    const nothing = { next: formatPosition(after), entries: [], compacted: false };
    try {
      const news = await within(READ_WITHIN_MS, this.newsSince(tenant, after));
      if (news === null) return nothing;
      const { epoch } = news.head;
      if (news.compacted) return { next: formatPosition(news.head), entries: [], compacted: true };
      const entries = asManyAsFit(await this.ports.signed.of(tenant, epoch, news.entries));
      const last = news.entries[entries.length - 1];
      return last === undefined
        ? nothing
        : { next: formatPosition({ epoch, seq: last.seq }), entries, compacted: false };
    } catch (error) {
      // Emergencies are for just that time, so a listener who stands is not turned away.
      this.ports.log.warn({ err: error, tenant }, 'a listener cannot be told the stream');
      return { ...nothing, failed: true };
    }
  }

  /** Listeners are woken together, and most of them stand at the same place: one read serves them. */
  private newsSince(tenant: string, after: Position): Promise<StoredNews | null> {
    let reads = this.reads.get(tenant);
    if (reads === undefined) {
      reads = new Batcher((places) => this.readPlaces(tenant, places));
      this.reads.set(tenant, reads);
    }
    return reads.add(after);
  }

  private async readPlaces(
    tenant: string,
    places: readonly Position[],
  ): Promise<(StoredNews | null)[]> {
    const names = [...new Set(places.map(formatPosition))];
    const found = await Promise.all(
      names.map((name) =>
        this.ports.store.newsSince(tenant, parsePosition(name) as Position, MAX_ENTRIES),
      ),
    );
    return places.map((place) => found[names.indexOf(formatPosition(place))] ?? null);
  }
}

function isNews(position: Position, after: Position | undefined): boolean {
  return after === undefined || comparePositions(position, after) > 0;
}
