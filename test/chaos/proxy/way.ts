import type { Socket } from 'node:net';

/** How one direction of a connection behaves. */
export interface Conditions {
  /** Closed: bytes wait where they are, as they do when a peer is frozen. */
  readonly closed?: boolean;
  /** Bytes are taken and thrown away, as by a network that lost its route. What comes after them makes no sense. */
  readonly lost?: boolean;
  readonly delayMs?: number;
  readonly bytesPerSecond?: number;
}

export const CLEAR: Conditions = {};
/** More than this on its way makes the sender wait, as a full socket buffer would. */
const MAX_WAITING = 262_144;

/** One direction of one connection: in order, with back pressure, under conditions that may change at any time. */
export class Way {
  private conditions = CLEAR;
  private readonly waiting: { readonly at: number; readonly bytes: Buffer }[] = [];
  private waitingBytes = 0;
  private freeAt = 0;
  private isFull = false;
  private timer: NodeJS.Timeout | undefined;

  /** @param pass sees what arrives, and calls `send` with what shall go on */
  constructor(
    private readonly from: Socket,
    private readonly to: Socket,
    private readonly pass: (chunk: Buffer) => void,
  ) {
    from.on('data', (chunk) => {
      if (!this.conditions.lost) this.pass(chunk);
    });
    to.on('drain', () => {
      this.isFull = false;
      this.move();
    });
    from.on('close', () => clearTimeout(this.timer));
  }

  set(conditions: Conditions): void {
    this.conditions = conditions;
    if (conditions.lost) {
      this.waiting.length = 0;
      this.waitingBytes = 0;
    }
    this.move();
  }

  send(bytes: Buffer): void {
    if (this.conditions.lost) return;
    const { delayMs = 0, bytesPerSecond } = this.conditions;
    const now = performance.now();
    this.freeAt = Math.max(now, this.freeAt);
    if (bytesPerSecond !== undefined) this.freeAt += (bytes.length * 1_000) / bytesPerSecond;
    this.waiting.push({ at: this.freeAt + delayMs, bytes });
    this.waitingBytes += bytes.length;
    this.move();
  }

  /** Sends what is due, and lets the sender go on or wait. */
  move(): void {
    clearTimeout(this.timer);
    while (!this.conditions.closed && !this.isFull) {
      const next = this.waiting[0];
      if (next === undefined) break;
      const left = next.at - performance.now();
      if (left > 0) {
        this.timer = setTimeout(() => this.move(), Math.ceil(left));
        break;
      }
      this.waiting.shift();
      this.waitingBytes -= next.bytes.length;
      if (this.to.writable) this.isFull = !this.to.write(next.bytes);
    }
    if (this.conditions.closed || this.isFull || this.waitingBytes > MAX_WAITING) this.from.pause();
    else this.from.resume();
  }
}
