import type { LeaseReply, Mode } from '@sever/protocol';
import type { Instant } from '../../packages/enforcement/src/clock';
import type { KeptEmergencies } from '../../packages/enforcement/src/kept-emergencies';
import type { MachineEvent } from '../../packages/enforcement/src/machine-events';
import type { ControlPlane } from './control-plane';
import { WALL } from './database';
import type { Judge } from './judge';
import { Link, type Network } from './network';
import { Process } from './process';
import type { Randomness } from './randomness';
import type { Variation } from './rules';
import type { VirtualTime } from './virtual-time';

/** Until a process that has said that it leaves is gone. */
const LEAVING_MS = 1_000;

type SnapshotEvent = Extract<MachineEvent, { type: 'snapshot' }>;

/** What a process needs of the rest of the model. */
export interface Site {
  readonly time: VirtualTime;
  readonly random: Randomness;
  readonly network: Network;
  readonly variation: Variation;
  readonly plane: ControlPlane;
  readonly judge: Judge;
}

/** One enforcement point: a host with its clocks, a way to the broker, a key directory, and processes that come and go. */
export class EnforcementPoint {
  readonly link = new Link();
  /** The way to the control plane itself. */
  readonly http = new Link();
  processes: Process[] = [];
  /** What its key directory holds of emergencies. */
  kept: KeptEmergencies | undefined;
  /** Boots that held the key directory before; the next one proves them gone. */
  readonly predecessors: string[] = [];
  site!: Site;
  private frozenUntil = -Infinity;
  private suspendedMs = 0;
  private wallShift = 0;
  private boots = 0;
  private stoppedAt: number | null = null;

  /** @param rate how fast the host's crystal runs */
  constructor(
    readonly id: string,
    readonly mode: Mode,
    private readonly rate: number,
    /** It may listen to the control plane itself where the broker fails. */
    readonly hasSecondRoad = false,
  ) {}

  get at(): Instant {
    const { now } = this.site.time;
    const stood = this.stoppedAt ?? now;
    return {
      mono: 5_000 + this.rate * (stood - this.suspendedMs),
      wall: WALL + this.rate * now + this.wallShift,
    };
  }

  get isFrozen(): boolean {
    return this.site.time.now < this.frozenUntil;
  }

  startProcess(): void {
    this.boots += 1;
    const process = new Process(this, `bot_${this.id}_${this.boots}`);
    this.processes.push(process);
    process.start();
  }

  /** The process dies at once; the next one holds the same key directory. */
  restart(gapMs: number): void {
    for (const process of this.processes.splice(0)) {
      process.die();
      if (!process.isZombie) this.predecessors.push(process.bootId);
    }
    this.site.time.after(gapMs, () => {
      if (this.processes.every((process) => process.isZombie)) this.startProcess();
    });
  }

  /** Its processes leave, each once it refuses everything, and are gone a moment later. */
  leave(gapMs: number): void {
    for (const process of this.processes) process.leave();
    this.site.time.after(LEAVING_MS, () => this.restart(gapMs));
  }

  /** A second process starts while the first one, from another directory, lives on for a while. */
  overlap(forMs: number): void {
    if (this.mode !== 'strict') return;
    for (const process of this.processes) {
      process.isZombie = true;
      this.site.time.after(forMs, () => {
        process.die();
        this.processes = this.processes.filter((one) => one !== process);
      });
    }
    this.startProcess();
  }

  /** Stopped; messages wait, clocks go on. */
  freeze(forMs: number): void {
    this.frozenUntil = Math.max(this.frozenUntil, this.site.time.now + forMs);
    this.site.time.after(forMs + 0.001, () => this.thaw());
  }

  /** The whole machine is suspended: its monotonic clock stands still as well. */
  suspendHost(forMs: number): void {
    if (this.stoppedAt !== null) return;
    this.stoppedAt = this.site.time.now;
    this.site.time.after(forMs, () => {
      this.suspendedMs += this.site.time.now - (this.stoppedAt ?? this.site.time.now);
      this.stoppedAt = null;
    });
    this.freeze(forMs);
  }

  /**
   * Somebody sets the clock of a running machine. Not of a suspended one: set back by just as long as the monotonic
   * clock stood still, it would hide the suspension, and no look at these two clocks can tell.
   */
  setWallClock(byMs: number): void {
    if (this.isFrozen) return;
    this.wallShift += byMs;
    for (const process of [...this.processes]) process.receive({ type: 'tick' }, false);
  }

  hear(event: MachineEvent, replayed: boolean): void {
    for (const process of this.processes) {
      process.road.health.heard(this.site.time.now);
      process.receive(event, replayed);
    }
  }

  answerSnapshot(to: Process, event: SnapshotEvent, replayed: boolean): void {
    if (replayed) return this.hear(event, true);
    to.receive(event, false);
  }

  answerLease(to: Process, reply: LeaseReply, replayed: boolean): void {
    if (replayed) return this.hear({ type: 'lease', reply }, true);
    to.receive({ type: 'lease', reply }, false);
  }

  private thaw(): void {
    if (this.isFrozen) return;
    for (const process of [...this.processes]) process.thaw();
  }
}
