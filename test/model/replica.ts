import { BOOT_SILENCE_MS, darkAfterMs, PULSE_INTERVAL_MS, type Position } from '@sever/protocol';
import { Replica } from '../../src/stream/replica';
import { Sightings } from '../../src/stream/sightings';
import type {
  Effect,
  ReceiptBody,
  SignedEntry,
} from '../../packages/enforcement/src/machine-events';
import { Answers } from './answers';
import type { ControlPlane } from './control-plane';
import type { EnforcementPoint } from './enforcement-point';
import type { Order } from './history';
import type { Kind, Road } from './network';
import { TENANT } from './population';
import type { Process } from './process';
import { ModelRelay } from './relay';
import type { Page } from './second-road';

const POLL_MS = 250;
const NEWS_MS = 20;
const LOOK_FOR_SILENT_MS = 60_000;

/** One replica of the control plane: relay, pulse, answers to enforcement points, and the word on containment. */
export class ModelReplica {
  alive = false;
  relay: ModelRelay;
  private life = 0;
  private startedAt = 0;
  private pulses = 0;
  /** Head at the last pulse. */
  private remembered: Position = { epoch: 0, seq: 0 };
  private sightings: Sightings;
  private readonly answers: Answers;

  constructor(
    private readonly n: number,
    private readonly plane: ControlPlane,
  ) {
    this.sightings = this.newSightings();
    this.relay = this.newRelay();
    this.answers = new Answers(plane, (milliseconds, run) => this.later(milliseconds, run));
  }

  start(): void {
    this.alive = true;
    this.life += 1;
    this.startedAt = this.mono();
    this.pulses = 0;
    this.sightings = this.newSightings();
    this.relay = this.newRelay();
    this.every(POLL_MS, () => this.look());
    this.every(PULSE_INTERVAL_MS, () => this.pulse());
    this.every(LOOK_FOR_SILENT_MS, () => this.lookForSilent());
  }

  crash(): void {
    this.alive = false;
    this.life += 1;
    this.relay.end();
  }

  committed(entries: readonly SignedEntry[]): void {
    this.see();
    this.relay.committed(entries);
  }

  broadcast(kind: Kind, deliver: (point: EnforcementPoint, replayed: boolean) => void): void {
    const { network, points } = this.plane.around;
    for (const point of points)
      network.toEnforcementPoint(point.link, kind, (replayed) => deliver(point, replayed));
  }

  private look(): void {
    if (!this.plane.database.up) return;
    this.see();
    this.relay.look();
  }

  private pulse(): void {
    const { database, around } = this.plane;
    if (!database.up || !around.network.brokerUp) return;
    this.see();
    this.pulses += 1;
    this.remembered = database.head;
    const pulse = {
      ...({ type: 'pulse', v: 1, tenant: TENANT } as const),
      ...{ epoch: database.head.epoch, head: database.head.seq, source: this.name, n: this.pulses },
      ...{ now: database.now, receipt_window_ms: around.random.chance(0.1) ? 50 : 0 },
    };
    this.broadcast('pulse', (point, replayed) => point.hear({ type: 'pulse', pulse }, replayed));
  }

  private lookForSilent(): void {
    if (!this.plane.database.up || this.mono() - this.startedAt < BOOT_SILENCE_MS) return;
    this.answers.retireSilent();
  }

  // What enforcement points ask

  snapshot(from: Process, nonce: string, replaces: string | undefined, road: Road): void {
    if (this.canAnswer()) this.answers.snapshot(from, nonce, replaces, road);
  }

  range(from: Process, epoch: number, first: number, to: number, road: Road): void {
    if (this.canAnswer()) this.answers.range(from, epoch, first, to, road);
  }

  evidence(from: Process, entries: readonly string[], road: Road): void {
    if (!this.canAnswer()) return;
    this.committed(this.plane.takeEvidence(entries));
    this.answers.evidenceTaken(from, road);
  }

  lease(from: Process, asked: Extract<Effect, { type: 'request_lease' }>, road: Road): void {
    const { epoch, seq: head } = this.remembered;
    const { leaseReadsTheHead } = this.plane.around.rules;
    this.answers.lease(from, asked, leaseReadsTheHead ? {} : { epoch, head }, road);
  }

  /** Waits until there is something to tell. Who asks without a place is told where the stream is. */
  page(
    after: Position | undefined,
    heard: number,
    waitMs: number,
    answer: (page: Page) => void,
  ): void {
    const { life } = this;
    const until = this.mono() + waitMs;
    const look = (): void => {
      if (!this.alive || life !== this.life) return;
      const page = this.answers.page(after, heard);
      const isNews = page.entries.length + page.emergencies.length > 0 || page.compacted;
      if (isNews || after === undefined || this.mono() >= until) answer(page);
      else this.plane.around.time.after(NEWS_MS, look);
    };
    look();
  }

  receipt(from: Process, body: ReceiptBody): void {
    if (this.canAnswer()) this.answers.receipt(from, body);
  }

  leave(from: Process): void {
    if (this.canAnswer()) this.answers.leave(from);
  }

  // Containment

  isContained(order: Order): boolean {
    const { database, around } = this.plane;
    const { rules, logic } = around;
    const { epoch, seq } = order.position;
    const passed = !rules.darkWaitsForTheBound || this.hasPassed(order.position, order);
    const roster = database.boots.roster(order.position);
    const ref = {
      ...{ id: order.killId, epoch, lastSeq: seq, leaseValidMs: order.storedLeaseMs },
      ...{ replica: null, committedMonoMs: null },
    };
    const { state } = logic.orderStanding(roster, ref, passed, this.unsettledMs(epoch));
    return state === 'contained';
  }

  /** Enforcement points that were killed before the order and may still admit what it stops. */
  namesRevoked(order: Order): string[] {
    const revoked = this.plane.database.boots.revokedBefore(order.position);
    return this.plane.around.logic
      .revokedAndLiving(revoked, (until) => this.hasPassed(until, order))
      .map(({ ep }) => ep.id);
  }

  private hasPassed(position: Position, { storedLeaseMs }: Order): boolean {
    return this.mono() >= this.sightings.seenAt(TENANT, position) + darkAfterMs(storedLeaseMs);
  }

  private unsettledMs(epoch: number): number {
    const { database, around } = this.plane;
    const waiting = database.waiting(epoch);
    if (waiting === null) return 0;
    const seenAt = this.sightings.seenAt(TENANT, { epoch, seq: 0 });
    const left = around.logic.leftUntilSettled(waiting, this.mono() - seenAt);
    if (left === 0) database.settle(epoch);
    return left;
  }

  private canAnswer(): boolean {
    return this.alive && this.plane.database.up;
  }

  private see(): void {
    this.sightings.see(TENANT, this.plane.database.head);
  }

  private get name(): string {
    return `replica-${this.n}-${this.life}`;
  }

  private mono(): number {
    return this.plane.around.time.now;
  }

  private newSightings(): Sightings {
    return new Sightings(new Replica({ monotonic: () => this.mono(), wall: () => this.mono() }));
  }

  private newRelay(): ModelRelay {
    return new ModelRelay(this.plane, (signed) =>
      this.broadcast('stream', (point, replayed) =>
        point.hear({ type: 'entry', ...signed }, replayed),
      ),
    );
  }

  private every(milliseconds: number, run: () => void): void {
    const { life } = this;
    const again = (): void => {
      if (life !== this.life) return;
      run();
      this.plane.around.time.after(milliseconds, again);
    };
    this.plane.around.time.after(this.plane.around.random.between(0, milliseconds), again);
  }

  /** Unless it dies, or the database goes, meanwhile. */
  private later(milliseconds: number, run: () => void): void {
    const { life } = this;
    this.plane.around.time.after(milliseconds, () => {
      if (life === this.life && this.canAnswer()) run();
    });
  }
}
