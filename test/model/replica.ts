import {
  comparePositions,
  containmentState,
  darkAfterMs,
  enforcementStatus,
  isOnRoster,
  PULSE_INTERVAL_MS,
  type LeaseGrant,
  type LeaseRefusal,
  type Position,
} from '@sever/protocol';
import { Replica } from '../../src/stream/replica';
import { Sightings } from '../../src/stream/sightings';
import type { Effect } from '../../packages/enforcement/src/machine-events';
import type { SignedEntry, ReceiptBody } from '../../packages/enforcement/src/machine-events';
import type { ControlPlane } from './control-plane';
import type { Contents } from './database';
import type { EnforcementPoint } from './enforcement-point';
import type { Process } from './process';
import type { Order } from './history';
import type { Kind } from './network';
import { TENANT } from './population';

const POLL_MS = 250;
const REPUBLISHED = 10;

/** One replica of the control plane: relay, pulse, answers to enforcement points, and the word on containment. */
export class ModelReplica {
  alive = false;
  private life = 0;
  private pulses = 0;
  private published: Position = { epoch: 0, seq: 0 };
  /** Head at the last pulse. */
  private remembered: Position = { epoch: 0, seq: 0 };
  private sightings: Sightings;

  constructor(
    private readonly n: number,
    private readonly plane: ControlPlane,
  ) {
    this.sightings = this.newSightings();
  }

  start(): void {
    this.alive = true;
    this.life += 1;
    this.pulses = 0;
    this.sightings = this.newSightings();
    this.rewind();
    this.every(POLL_MS, () => this.look());
    this.every(PULSE_INTERVAL_MS, () => this.pulse());
  }

  crash(): void {
    this.alive = false;
    this.life += 1;
  }

  /** The connection to the broker was lost, and with it perhaps what had been handed to it. */
  rewind(): void {
    const { epoch, seq } = this.plane.database.head;
    this.published = { epoch, seq: Math.max(0, seq - REPUBLISHED) };
  }

  committed(entries: readonly SignedEntry[]): void {
    this.see();
    for (const signed of entries) this.publish(signed);
  }

  broadcast(kind: Kind, deliver: (point: EnforcementPoint, replayed: boolean) => void): void {
    const { network, points } = this.plane.around;
    for (const point of points)
      network.toEnforcementPoint(point.link, kind, (replayed) => deliver(point, replayed));
  }

  private look(): void {
    const { database, around } = this.plane;
    if (!database.up) return;
    this.see();
    if (!around.network.brokerUp) return;
    for (const signed of database.after(this.published)) this.publish(signed);
    this.published = database.head;
  }

  private publish(signed: SignedEntry): void {
    this.broadcast('stream', (point, replayed) =>
      point.hear({ type: 'entry', ...signed }, replayed),
    );
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

  // What enforcement points ask

  snapshot(from: Process, nonce: string, replaces: string | undefined): void {
    if (!this.canAnswer()) return;
    if (this.plane.database.boots.get(from.bootId)?.left) return;
    const { rules, random } = this.plane.around;
    if (rules.bootIsStoredFirst) this.enter(from, replaces);
    else this.later(random.between(0, 3_000), () => this.enter(from, replaces));
    this.later(random.between(0.5, 30), () => {
      const contents = this.contents();
      if (rules.snapshotIsAtomic) return this.sendSnapshot(from, nonce, contents);
      // The place is read a moment after what is in force there.
      this.later(random.between(0, 1_500), () =>
        this.sendSnapshot(from, nonce, { ...this.contents(), items: contents.items }),
      );
    });
  }

  private sendSnapshot(from: Process, nonce: string, { items, ...place }: Contents): void {
    const manifest = {
      ...({ type: 'snapshot', v: 1, tenant: TENANT, items: items.length } as const),
      ...{ boot_id: from.bootId, nonce, now: this.plane.database.now, chunks: [], ...place },
    };
    this.reply(from, 'snapshot', (replayed) =>
      from.point.answerSnapshot(from, { type: 'snapshot', manifest, items }, replayed),
    );
  }

  range(from: Process, epoch: number, first: number, to: number): void {
    if (!this.canAnswer()) return;
    const { compacted, entries } = this.plane.database.range(epoch, first, to);
    this.reply(from, 'range', () => from.answerRange(epoch, entries, compacted));
  }

  evidence(from: Process, entries: readonly string[]): void {
    if (!this.canAnswer()) return;
    this.committed(this.plane.takeEvidence(entries));
    const { epoch } = this.plane.database.head;
    this.reply(from, 'evidence', () => from.receive({ type: 'evidence_taken', epoch }, false));
  }

  lease(from: Process, asked: Extract<Effect, { type: 'request_lease' }>): void {
    this.later(this.plane.around.random.between(0.5, 30), () => {
      const reply = this.decideLease(from, asked);
      this.reply(from, 'lease', (replayed) => from.point.answerLease(from, reply, replayed));
    });
  }

  private decideLease(
    from: Process,
    { nonce, epoch, applied, digest }: Extract<Effect, { type: 'request_lease' }>,
  ): LeaseGrant | LeaseRefusal {
    const { database, around, policyMs } = this.plane;
    const common = {
      v: 1,
      tenant: TENANT,
      ep: from.point.id,
      boot_id: from.bootId,
      nonce,
    } as const;
    const boot = database.boots.get(from.bootId);
    if (
      around.rules.leaseKnowsTheBoot &&
      (boot === undefined || boot.left || boot.mode !== from.point.mode)
    )
      return { type: 'lease-refused', ...common, code: 'boot_unknown' };
    const known = database.digestAt({ epoch, seq: applied });
    if (
      comparePositions({ epoch, seq: applied }, database.head) > 0 ||
      (known !== null && known !== digest)
    )
      return { type: 'lease-refused', ...common, code: 'divergence' };
    const head = around.rules.leaseReadsTheHead ? database.head : this.remembered;
    return {
      type: 'lease',
      ...common,
      epoch: head.epoch,
      head: head.seq,
      valid_ms: policyMs,
      now: database.now,
    };
  }

  receipt(from: Process, body: ReceiptBody): void {
    const { database, around } = this.plane;
    if (!this.canAnswer()) return;
    const at = { epoch: body.epoch, seq: body.applied };
    const known = database.digestAt(at);
    if (comparePositions(at, database.head) > 0 || (known !== null && known !== body.digest))
      return;
    for (const boot of database.boots.values()) {
      const counts = around.rules.receiptCountsForItsBoot
        ? boot.bootId === from.bootId
        : boot.ep === from.point.id;
      if (!counts || boot.left) continue;
      const newer = boot.applied === undefined || comparePositions(at, boot.applied) > 0;
      const nacks = body.nacks.map(({ seq }) => ({ epoch: body.epoch, seq }));
      database.storeBoot({ ...boot, ...(newer && { applied: at, nacks }) });
    }
  }

  // Containment

  isContained(order: Order): boolean {
    const { database, around, epochOpenedAt } = this.plane;
    const { rules } = around;
    const dark = darkAfterMs(order.storedLeaseMs);
    if (rules.restoreWaitsForLeases && this.mono() < epochOpenedAt + dark) return false;
    const seenAt = this.sightings.seenAt(TENANT, order.position);
    const boundPassed = !rules.darkWaitsForTheBound || this.mono() >= seenAt + dark;
    const roster = [...database.boots.values()].filter((boot) => isOnRoster(boot, order.position));
    const statuses = roster.map((boot) => {
      const mode = rules.bestEffortIsNeverDark ? boot.mode : 'strict';
      const nacked = boot.nacks.some((at) => comparePositions(at, order.position) === 0);
      return enforcementStatus({ ...boot, mode, nacked }, order.position, boundPassed);
    });
    return containmentState(statuses) === 'contained';
  }

  private enter(from: Process, replaces: string | undefined): void {
    const { database } = this.plane;
    const present = database.boots.get(from.bootId);
    if (present === undefined)
      database.storeBoot({
        ...{ bootId: from.bootId, ep: from.point.id, mode: from.point.mode },
        ...{ since: database.head, left: false, nacks: [] },
      });
    const gone = replaces === undefined ? undefined : database.boots.get(replaces);
    if (gone !== undefined && !gone.left)
      database.storeBoot({ ...gone, left: true, until: gone.until ?? database.head });
  }

  private contents(): Contents {
    return this.plane.database.contents(this.plane.openEmergencies);
  }

  private reply(to: Process, kind: Kind, deliver: (replayed: boolean) => void): void {
    this.plane.around.network.toEnforcementPoint(to.point.link, kind, deliver);
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
