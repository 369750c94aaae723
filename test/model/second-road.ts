import type { Emergency, Position } from '@sever/protocol';
import type { SignedEntry } from '../../packages/enforcement/src/machine-events';
import { BrokerHealth } from '../../packages/enforcement/src/transports/broker-health';
import type { Process } from './process';

const LOOK_MS = 250;
const PATIENCE_MS = 400;
const TRUST_MS = 2_000;
const WAIT_MS = 5_000;
const MARGIN_MS = 3_000;
const PAUSE_MS = 200;

/** What one question over HTTP is answered with. */
export interface Page {
  readonly next: Position;
  readonly heard: number;
  readonly entries: readonly SignedEntry[];
  readonly compacted: boolean;
  readonly emergencies: readonly Emergency[];
}

/**
 * Listening without the broker: one question at a time, taken up when the broker is not well and left once it is again. The
 * SDK decides by the same `BrokerHealth`; its promises have no place in virtual time.
 */
export class SecondRoad {
  readonly health = new BrokerHealth();
  /** Everything up to here is known. */
  known: Position | undefined;
  standing = false;
  private after: Position | undefined;
  private heard = 0;
  private listening = 0;
  private isListening = false;
  private wellSince: number | null = null;
  private unwellSince: number;

  constructor(private readonly process: Process) {
    this.unwellSince = this.now;
  }

  get now(): number {
    return this.process.point.site.time.now;
  }

  get isNeeded(): boolean {
    return !this.health.isWell(this.now);
  }

  start(): void {
    if (!this.process.alive) return;
    if (!this.process.point.isFrozen) this.look();
    this.process.point.site.time.after(LOOK_MS, () => this.start());
  }

  private look(): void {
    const { now } = this;
    if (!this.isNeeded) {
      this.wellSince ??= now;
      if (this.isListening && now - this.wellSince >= TRUST_MS) this.leave();
      return;
    }
    if (this.wellSince !== null) this.unwellSince = now;
    this.wellSince = null;
    const patience = this.health.isConnected ? 0 : PATIENCE_MS;
    if (this.isListening || now - this.unwellSince < patience) return;
    this.isListening = true;
    this.listening += 1;
    this.after = this.known;
    this.ask();
  }

  private leave(): void {
    this.isListening = false;
    this.standing = false;
    this.listening += 1;
  }

  private ask(): void {
    const { listening } = this;
    const { network, plane, random, time } = this.process.point.site;
    const { http } = this.process.point;
    const waitMs = this.standing ? WAIT_MS : 0;
    const isOpen = (): boolean =>
      this.process.alive && listening === this.listening && this.isListening;
    let answered = false;
    network.toControlPlane(
      http,
      'page',
      () =>
        random.pick(plane.living())?.page(this.after, this.heard, waitMs, (page) =>
          network.toEnforcementPoint(
            http,
            'page',
            () => {
              if (!isOpen() || answered) return;
              answered = true;
              this.hand(page);
              this.ask();
            },
            'http',
          ),
        ),
      'http',
    );
    time.after(waitMs + MARGIN_MS, () => {
      if (!isOpen() || answered) return;
      answered = true;
      if (this.standing) this.process.roadLost();
      this.standing = false;
      time.after(PAUSE_MS, () => isOpen() && this.ask());
    });
  }

  private hand(page: Page): void {
    if (!this.standing) {
      this.standing = true;
      this.process.roadFound();
    }
    this.after = page.next;
    this.heard = page.heard;
    for (const emergency of page.emergencies)
      this.process.receive({ type: 'emergency', emergency }, false);
    for (const signed of page.entries) this.process.receive({ type: 'entry', ...signed }, false);
    if (page.compacted) this.process.receive({ type: 'suspect' }, false);
  }
}
