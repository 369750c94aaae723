import { ENTRY_SEPARATOR, formatPosition, StreamPage, type Position } from '@sever/protocol';
import type { Clock, Timers } from '../clock';
import { retry } from '../retry';
import type { TransportListener } from '../transport';
import type { HttpRoad } from './http-road';

const WAIT_MS = 25_000;
/** For the way there and back, and for a control plane that is busy. */
const MARGIN_MS = 3_000;
/** An empty answer that came sooner than it had to: the control plane stops, or somebody else asks with our key. */
const EARLY_MS = 1_000;
const PAUSE_MS = 500;

export interface HttpStreamOptions {
  readonly road: HttpRoad;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly listener: TransportListener;
  /** Everything up to there is known already. */
  readonly after?: Position | undefined;
}

/**
 * Listens over HTTP: one question at a time, each of which the control plane holds until there is something to tell. The
 * place reached goes along with the next question, so nothing is lost between two of them.
 */
export class HttpStream {
  private after: string | undefined;
  private heard: string | undefined;
  private asking = new AbortController();
  private standing = false;
  private closed = false;

  constructor(private readonly options: HttpStreamOptions) {
    this.after = options.after && formatPosition(options.after);
  }

  get isUp(): boolean {
    return this.standing;
  }

  /** Asks until `close()`. */
  async run(): Promise<void> {
    while (!this.closed) {
      const page = await this.next();
      if (page === null || this.closed) return;
      if (!this.standing) {
        this.standing = true;
        this.options.listener.connected();
      }
      this.hand(page);
    }
  }

  /** Another request did not get through: the question that is open may wait for nobody. */
  restart(): void {
    if (this.standing) this.asking.abort();
  }

  close(): void {
    this.closed = true;
    this.asking.abort();
  }

  /** @returns `null` once it is closed */
  private async next(): Promise<StreamPage | null> {
    const { clock, timers } = this.options;
    try {
      return await retry(() => this.ask(), {
        clock,
        timers,
        random: Math.random,
        firstMs: 200,
        maxMs: 2_000,
        isTransient: () => {
          this.lost();
          return !this.closed;
        },
      });
    } catch (error) {
      if (this.closed) return null;
      throw error;
    }
  }

  private async ask(): Promise<StreamPage> {
    const { road, clock, timers } = this.options;
    // The first answer only says that the road is there.
    const waitMs = this.standing ? WAIT_MS : 0;
    const query = new URLSearchParams({ wait: `${waitMs}ms` });
    if (this.after !== undefined) query.set('after', this.after);
    if (this.heard !== undefined) query.set('heard', this.heard);
    if (this.closed) throw new Error('closed');
    this.asking = new AbortController();
    const askedAt = clock.monotonic();
    const bytes = await road.ask(`?${query.toString()}`, {
      timeoutMs: waitMs + MARGIN_MS,
      signal: this.asking.signal,
    });
    const page = StreamPage.parse(JSON.parse(Buffer.from(bytes).toString()));
    const early = waitMs > 0 && clock.monotonic() - askedAt < EARLY_MS;
    if (early && page.entries.length + page.emergencies.length === 0 && !page.compacted)
      await new Promise<void>((resolve) => timers.after(PAUSE_MS, resolve));
    return page;
  }

  private hand(page: StreamPage): void {
    const { listener } = this.options;
    this.after = page.next;
    this.heard = page.heard;
    for (const emergency of page.emergencies) listener.message('emergency', Buffer.from(emergency));
    if (page.entries.length > 0)
      listener.message('stream', Buffer.from(page.entries.join(ENTRY_SEPARATOR)));
    if (page.pulse !== null) listener.message('pulse', Buffer.from(page.pulse));
    if (page.compacted) listener.suspect('the entries in between are no longer kept');
  }

  private lost(): void {
    if (!this.standing) return;
    this.standing = false;
    if (!this.closed) this.options.listener.disconnected();
  }
}
