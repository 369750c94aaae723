import { comparePositions, type Position } from '@sever/protocol';

/** Consecutive entries of one epoch, on their way out. */
export interface RelayBatch<E> {
  readonly epoch: number;
  readonly entries: readonly E[];
  /** How often the cursor had been rewound when they were taken. */
  readonly rewinds: number;
}

/** How far a cursor had published when somebody began to ask whether the broker has it. */
export interface RelayMark {
  readonly upTo: Position;
  readonly rewinds: number;
}

/**
 * Where one tenant's stream is on its way to the broker: what waits, what was handed over, and what the broker is known to
 * hold. It knows no clock and no connection. In order, without a gap, each entry at least once.
 */
export class RelayCursor<E extends { readonly seq: number }> {
  protected queue: { readonly epoch: number; readonly entry: E }[] = [];
  /** The newest place that has been queued. */
  protected queued: Position;
  protected published: Position;
  /** The newest place that the broker is known to have taken. */
  protected safe: Position;
  private rewinds = 0;

  constructor(from: Position) {
    this.queued = this.published = this.safe = from;
  }

  /** Everything up to here is queued or published. */
  get tail(): Position {
    return this.queued;
  }

  get isEmpty(): boolean {
    return this.queue.length === 0;
  }

  /** @returns false when there is a gap before these entries: what lies between must be read first */
  offer(epoch: number, entries: readonly E[]): boolean {
    if (epoch > this.queued.epoch) this.queued = { epoch, seq: 0 };
    if (epoch < this.queued.epoch) return true;
    for (const entry of entries) {
      if (entry.seq <= this.queued.seq) continue;
      if (this.isGap(entry.seq)) return false;
      this.queued = { epoch, seq: entry.seq };
      this.queue.push({ epoch, entry });
    }
    return true;
  }

  /** The next to leave; `null` when nothing waits. */
  take(most: number): RelayBatch<E> | null {
    const epoch = this.queue[0]?.epoch;
    if (epoch === undefined) return null;
    const end = this.queue.findIndex((waiting) => waiting.epoch !== epoch);
    const taken = this.queue.splice(0, Math.min(end === -1 ? this.queue.length : end, most));
    return { epoch, entries: taken.map(({ entry }) => entry), rewinds: this.rewinds };
  }

  /** False when what came before it may be lost: then it will be read again, with what came before. */
  mayPublish({ rewinds }: RelayBatch<E>): boolean {
    return rewinds === this.rewinds;
  }

  /** The broker's client has taken them; whether the broker has is not known yet. */
  handedOver({ epoch, entries }: RelayBatch<E>): void {
    const last = entries.at(-1);
    if (last !== undefined) this.published = { epoch, seq: last.seq };
  }

  /** Before the broker is asked whether it holds what was handed over. */
  mark(): RelayMark {
    return { upTo: this.published, rewinds: this.rewinds };
  }

  /** It does, up to that mark; not what was handed over since, nor over a connection that was lost meanwhile. */
  confirm({ upTo, rewinds }: RelayMark): void {
    if (rewinds === this.rewinds && comparePositions(upTo, this.safe) > 0) this.safe = upTo;
  }

  /** The connection was lost, and with it perhaps whatever the broker had not confirmed. */
  rewind(): void {
    this.rewinds += 1;
    this.queue = [];
    this.queued = this.published = this.safe;
  }

  protected isGap(seq: number): boolean {
    return seq > this.queued.seq + 1;
  }
}
