import type { Randomness } from './randomness';
import type { VirtualTime } from './virtual-time';

export type Kind =
  | 'stream'
  | 'pulse'
  | 'emergency'
  | 'snapshot'
  | 'range'
  | 'lease'
  | 'receipt'
  | 'evidence'
  | 'page';

/** The broker's, or the control plane's own. */
export type Road = 'nats' | 'http';

/** How bad it is at the moment, for everybody. */
export interface Weather {
  readonly drop: number;
  readonly duplicate: number;
  /** Share of messages that take up to `slowMs`. */
  readonly slow: number;
  readonly slowMs: number;
  /** Share of messages that come once more, much later. */
  readonly replay: number;
}

export const CALM: Weather = { drop: 0, duplicate: 0, slow: 0, slowMs: 0, replay: 0 };

/** The way between one enforcement point and the broker. */
export class Link {
  /** Nothing gets from the broker to it. */
  deaf = false;
  /** Nothing gets from it to the broker. */
  mute = false;
  /** Messages of these kinds are lost, both ways. */
  without: ReadonlySet<Kind> = new Set();

  heal(): void {
    this.deaf = false;
    this.mute = false;
    this.without = new Set();
  }
}

const NO_LAG = { kinds: new Set<Kind>(), ms: 0 };

/** Carries messages, or does not. What it carries it may carry twice, late, out of order, or again. */
export class Network {
  brokerUp = true;
  /** How often it has gone down. */
  outages = 0;
  weather: Weather = CALM;
  /** Kinds of which every message takes that long. */
  lag: { readonly kinds: ReadonlySet<Kind>; readonly ms: number } = NO_LAG;

  constructor(
    private readonly time: VirtualTime,
    private readonly random: Randomness,
  ) {}

  /** @param replayed whether this delivery repeats one from long ago */
  toEnforcementPoint(
    link: Link,
    kind: Kind,
    deliver: (replayed: boolean) => void,
    road: Road = 'nats',
  ): void {
    this.carry(kind, road, link, () => !link.deaf, deliver);
  }

  toControlPlane(link: Link, kind: Kind, deliver: () => void, road: Road = 'nats'): void {
    this.carry(kind, road, link, () => !link.mute, deliver);
  }

  calm(): void {
    this.weather = CALM;
    this.lag = NO_LAG;
  }

  private carry(
    kind: Kind,
    road: Road,
    link: Link,
    passes: () => boolean,
    deliver: (replayed: boolean) => void,
  ): void {
    const { random, weather } = this;
    const open = (): boolean =>
      (road === 'http' || this.brokerUp) && passes() && !link.without.has(kind);
    if (!open()) return;
    const once = (delay: number, replayed: boolean): void =>
      this.time.after(delay, () => {
        if (open() || replayed) deliver(replayed);
      });
    if (!random.chance(weather.drop)) once(this.delay(kind), false);
    // What answers one question comes once, and inside a connection of its own.
    if (road === 'http') return;
    if (random.chance(weather.duplicate)) once(this.delay(kind), false);
    // Whoever recorded it can play it back even where the real way is cut.
    if (random.chance(weather.replay)) once(random.between(1_000, 15_000), true);
  }

  delay(kind: Kind): number {
    const { random, weather, lag } = this;
    if (lag.kinds.has(kind)) return lag.ms + random.next();
    return random.chance(weather.slow) ? random.between(0, weather.slowMs) : random.between(0.2, 4);
  }
}
