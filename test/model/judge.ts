import {
  comparePositions,
  darkAfterMs,
  formatPosition,
  type Lineage,
  type Position,
} from '@sever/protocol';
import type {
  Alarm,
  MachineEvent,
  ReceiptBody,
} from '../../packages/enforcement/src/machine-events';
import type { ControlPlane } from './control-plane';
import type { EnforcementPoint } from './enforcement-point';
import type { Order } from './history';
import type { Credential } from './population';
import type { Process } from './process';

/** What a run has shown to be false. */
export class Violation extends Error {
  constructor(
    readonly invariant: string,
    detail: string,
  ) {
    super(`${invariant}: ${detail}`);
  }
}

/** What one boot has said and been told, as an observer noted it. */
interface Notes {
  /** The newest place that a receipt vouched for, in each epoch, and what the chain was there. */
  readonly receipts: Map<number, { readonly applied: number; readonly digest: string }>;
  /** True time after which no lease that was ever given to this boot can run, with its margin. */
  grantedUntil: number;
  snapshotCame: boolean;
  readonly emergencies: Set<string>;
  /** Places that its receipts say it could not apply. */
  readonly nacked: Set<string>;
}

interface Before extends Position {
  /** A snapshot that answers no open request of this process. */
  readonly isForeign: boolean;
}

/** Watches every step, knows what really happened, and says which invariant does not hold. */
export class Judge {
  private readonly notes = new Map<string, Notes>();
  /** Emergencies and halts that some process of an enforcement point has taken; what its key directory must know. */
  private readonly taken = new Map<string, Set<string>>();

  constructor(
    private readonly now: () => number,
    private readonly plane: ControlPlane,
    private readonly points: readonly EnforcementPoint[],
  ) {}

  before(process: Process, event: MachineEvent): Before {
    const notes = this.of(process);
    const isForeign =
      event.type === 'snapshot' && event.manifest.nonce !== process.lastSnapshotAsked;
    if (event.type === 'snapshot' && !isForeign) notes.snapshotCame = true;
    if (event.type === 'emergency' && event.emergency.not_after >= process.machine.signedNow)
      this.hears(process, event.emergency.kill_id);
    if (event.type === 'halt') this.hears(process, event.halt.kill_id);
    const asked = event.type === 'lease' ? process.leasesAsked.get(event.reply.nonce) : undefined;
    if (asked !== undefined && event.type === 'lease' && event.reply.type === 'lease')
      notes.grantedUntil = Math.max(notes.grantedUntil, asked + darkAfterMs(event.reply.valid_ms));
    return { ...positionOf(process), isForeign };
  }

  after(process: Process, before: Before): void {
    const at = positionOf(process);
    if (comparePositions(at, before) < 0)
      this.fail('I7', process, `went back from ${show(before)} to ${show(at)}`);
    if (before.isForeign && comparePositions(at, before) !== 0)
      this.fail('I18', process, 'took a snapshot that it had not asked for');
    const digest = this.plane.history.digestAt(at);
    const isOther = digest !== undefined && digest !== process.machine.chain.digest;
    if (at.seq > 0 && isOther && !this.plane.wentBackUnnoticed)
      this.fail('I5', process, `holds another digest at ${show(at)}`);
    this.look(process);
  }

  receipt(process: Process, body: ReceiptBody): void {
    const { receipts, nacked } = this.of(process);
    const { epoch, applied, digest } = body;
    if (applied >= (receipts.get(epoch)?.applied ?? 0)) receipts.set(epoch, { applied, digest });
    for (const { seq } of body.nacks) nacked.add(formatPosition({ epoch, seq }));
    this.look(process);
  }

  alarm(process: Process, { kind, detail }: Alarm): void {
    // Each use of a halt is told; that is no complaint.
    if (kind === 'halt' || kind === 'stopped') return;
    if (kind === 'revoked' && this.plane.history.wasKilled(process.point.id)) return;
    if (kind === 'divergence' && this.plane.wentBackUnnoticed) return;
    this.fail('no false alarm', process, `${kind}, ${detail}`);
  }

  /** Every process, and what the living replicas say of every order. */
  lookAtAll(): void {
    this.lookAtContainment();
    for (const { processes } of this.points) for (const process of processes) this.look(process);
  }

  lookAtContainment(): void {
    if (!this.plane.database.up) return;
    this.lookAtControlPlane();
    for (const order of this.plane.history.orders) {
      if (order.containedAt !== null || order.lost) continue;
      if (!this.plane.living().some((replica) => replica.isContained(order))) continue;
      order.containedAt = this.now();
      this.nobodyLacks(order);
    }
  }

  /** What would this process decide at this moment, and what does it let through? */
  look(process: Process): void {
    if (!process.alive || process.point.isFrozen) return;
    for (const credential of this.plane.population.credentials) {
      const decision = process.decision(credential);
      if (decision.decision === 'allow') {
        this.admits(process, credential, 'admits');
        if (!decision.stale) this.isFresh(process, credential);
        else if (process.point.mode === 'strict')
          this.fail('I15', process, `strict, and admits ${credential.name} while stale`);
      } else if (decision.code.startsWith('agent_') && !this.hasReason(credential.lineage))
        this.fail('no false denial', process, `${decision.code} for ${credential.name}`);
    }
    for (const { credential } of process.flowing())
      this.admits(process, credential, 'goes on relaying for', true);
  }

  /** @param runs it was let in before, so an order may let it come to its end */
  private admits(process: Process, credential: Credential, does: string, runs = false): void {
    const notes = this.of(process);
    if (!notes.snapshotCame || notes.grantedUntil === -Infinity)
      this.fail('I17', process, `${does} ${credential.name} before snapshot and lease`);
    if (process.point.mode === 'strict' && this.now() > notes.grantedUntil)
      this.fail('I15', process, `${does} ${credential.name} without a lease`);
    for (const order of this.plane.history.against(credential.lineage, process.point.id))
      if (!(runs && order.drain)) this.admitsDespite(process, order, `${does} ${credential.name}`);
    const taken = this.taken.get(process.point.id);
    for (const { killId, subject, closed } of this.plane.history.emergencies)
      if (
        !closed &&
        (notes.emergencies.has(killId) || (!process.isZombie && taken?.has(killId))) &&
        holds(credential.lineage, subject)
      )
        this.fail('emergency', process, `${does} ${credential.name} after hearing ${killId}`);
  }

  private admitsDespite(process: Process, order: Order, what: string): void {
    const said = `${what}, stopped by ${order.killId} at ${show(order.position)}`;
    if (this.hasReceipt(process, order)) this.fail('I1', process, `${said}, after its receipt`);
    if (order.lost) return;
    if (order.containedAt !== null && !this.isForgotten(process) && !this.isNamed(process, order))
      this.fail('I3', process, `${said}, contained since ${Math.round(order.containedAt)}`);
    const bound = order.committedAt + darkAfterMs(order.longestLeaseMs);
    if (process.point.mode === 'strict' && this.now() > bound)
      this.fail('I4', process, `${said}, later than the bound`);
  }

  /** Everybody who reads "contained" reads as well that this enforcement point is not covered. */
  private isNamed({ point }: Process, order: Order): boolean {
    return this.plane.living().every((replica) => replica.namesRevoked(order).includes(point.id));
  }

  /** What could not be applied somewhere is not contained, though it is denied there. */
  private nobodyLacks({ killId, position }: Order): void {
    if (position.epoch !== this.plane.database.head.epoch) return;
    for (const { processes } of this.points)
      for (const process of processes)
        if (process.alive && this.of(process).nacked.has(formatPosition(position)))
          this.fail('I9', process, `could not apply ${killId}, which is called contained`);
  }

  private lookAtControlPlane(): void {
    const { plane } = this;
    if (plane.wentBackUnnoticed) return;
    for (const alarm of plane.alarms) throw this.violation('no false alarm', alarm);
    for (const { relay } of plane.living()) {
      const entry = relay.overdue()?.entry;
      if (entry !== undefined)
        throw this.violation('relay', `${show(entry)} was never handed to the broker`);
    }
  }

  /** A lease that runs was given by somebody who knew every order from before its request. */
  private isFresh(process: Process, credential: Credential): void {
    const running = process.machine['lease']['running'];
    const sentAt = running === null ? undefined : process.leasesAsked.get(running.sent.nonce);
    if (this.of(process).grantedUntil < this.now())
      this.fail('I15', process, `says that ${credential.name} is admitted under a lease`);
    for (const order of this.plane.history.against(credential.lineage))
      if (!order.lost && sentAt !== undefined && order.committedAt < sentAt)
        this.fail('I4', process, `${credential.name}: its lease is younger than ${order.killId}`);
  }

  /** A best-effort boot that a restored database does not know cannot be on any roster until it asks again. */
  private isForgotten(process: Process): boolean {
    return (
      process.point.mode === 'best_effort' &&
      this.plane.database.boots.get(process.bootId) === undefined
    );
  }

  private hasReceipt(process: Process, { position, lost }: Order): boolean {
    const { wentBackUnnoticed, history } = this.plane;
    for (const [epoch, { applied, digest }] of this.of(process).receipts) {
      // The same place of two chains.
      if (wentBackUnnoticed && history.digestAt({ epoch, seq: applied }) !== digest) continue;
      if (epoch === position.epoch && applied >= position.seq) return true;
      if (epoch > position.epoch && !lost) return true;
    }
    return false;
  }

  private hasReason(lineage: Lineage): boolean {
    return this.plane.history.hasReason(lineage);
  }

  private hears(process: Process, killId: string): void {
    this.of(process).emergencies.add(killId);
    if (process.isZombie) return;
    const taken = this.taken.get(process.point.id) ?? new Set();
    this.taken.set(process.point.id, taken.add(killId));
  }

  private of({ bootId }: Process): Notes {
    let notes = this.notes.get(bootId);
    if (notes === undefined) {
      const emergencies = new Set<string>();
      notes = {
        ...{ receipts: new Map(), grantedUntil: -Infinity, snapshotCame: false, emergencies },
        nacked: new Set(),
      };
      this.notes.set(bootId, notes);
    }
    return notes;
  }

  private fail(invariant: string, process: Process, detail: string): never {
    throw this.violation(invariant, `${process.bootId} ${detail}`);
  }

  private violation(invariant: string, detail: string): Violation {
    return new Violation(invariant, `at ${Math.round(this.now())} ms ${detail}`);
  }
}

function positionOf({ machine }: Process): Position {
  return { epoch: machine.chain.epoch, seq: machine.chain.applied };
}

function show({ epoch, seq }: Position): string {
  return `${epoch}.${seq}`;
}

function holds(lineage: Lineage, subject: string): boolean {
  return lineage.some(([one]) => one === subject);
}
