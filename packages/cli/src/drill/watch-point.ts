import type { Identity, Probe, Said } from './probe';

/** So many rounds of refusals in a row end the watching early: one that wavers shows it by then. */
const STEADY_ROUNDS = 10;
/** Between two rounds; a round asks for each canary once. */
const BETWEEN_ROUNDS_MS = 5;

export interface Canaries {
  /** Tokens of the tree that is killed: all of them must be refused. */
  readonly victims: readonly string[];
  /** Token of the tree that lives: it must be admitted throughout. */
  readonly survivor: string;
}

/** What one enforcement point did, seen from outside. Times are monotonic milliseconds. */
export interface Observed {
  readonly via: string;
  readonly identity: Identity | null;
  /** It admitted all canaries before the kill. */
  readonly admittedFirst: boolean;
  /** Since when every answer for every victim was a refusal; null while one is admitted or unheard. */
  readonly refusedAt: number | null;
  readonly rounds: number;
  /** What it last said of the victims: the first that is no refusal, or the refusal. */
  readonly last: Said | null;
  /** The first answer by which the survivor was not admitted. */
  readonly survivorHurt: Said | null;
}

/** Asks one enforcement point about the canaries, again and again. */
export class WatchedPoint {
  private identity: Identity | null = null;
  private admittedFirst = false;
  private refusedAt: number | null = null;
  private rounds = 0;
  private refusedRounds = 0;
  private last: Said | null = null;
  private survivorHurt: Said | null = null;

  constructor(
    private readonly probe: Probe,
    private readonly canaries: Canaries,
    private readonly time: {
      now(): number;
      delay(ms: number, signal?: AbortSignal): Promise<unknown>;
    },
  ) {}

  /** Waits until all canaries are admitted, at most until then. A token's key may have yet to arrive. */
  async admit(untilMs: number): Promise<boolean> {
    this.identity = await this.probe.identity();
    for (;;) {
      const said = await this.ask([...this.canaries.victims, this.canaries.survivor]);
      this.last = said.find(({ decision }) => decision !== 'allow') ?? said[0] ?? null;
      this.admittedFirst = said.every(({ decision }) => decision === 'allow');
      if (this.admittedFirst || this.time.now() >= untilMs) return this.admittedFirst;
      await this.time.delay(BETWEEN_ROUNDS_MS * 10);
    }
  }

  /** Goes on until the signal is aborted: one that refuses once and admits again has not refused. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.round();
      await this.time.delay(BETWEEN_ROUNDS_MS, signal).catch(() => undefined);
    }
    await this.round();
  }

  get isSteady(): boolean {
    return this.refusedRounds >= STEADY_ROUNDS;
  }

  get observed(): Observed {
    const { via } = this.probe;
    const { identity, admittedFirst, refusedAt, rounds, last, survivorHurt } = this;
    return { via, identity, admittedFirst, refusedAt, rounds, last, survivorHurt };
  }

  private async round(): Promise<void> {
    const { victims, survivor } = this.canaries;
    const said = await this.ask([...victims, survivor]);
    const ofSurvivor = said.pop() as Said;
    if (ofSurvivor.decision !== 'allow') this.survivorHurt ??= ofSurvivor;
    this.last = said.find(({ decision }) => decision !== 'deny') ?? said[0] ?? null;
    // Taken when the answers are in: an upper bound, as everything that is seen from outside.
    if (said.every(({ decision }) => decision === 'deny')) {
      this.refusedAt ??= this.time.now();
      this.refusedRounds += 1;
    } else {
      this.refusedAt = null;
      this.refusedRounds = 0;
    }
    this.rounds += 1;
  }

  private ask(tokens: readonly string[]): Promise<Said[]> {
    return Promise.all(tokens.map((token) => this.probe.check(token)));
  }
}
