import { isNarrow, levelOf, stops, type Act, type Level } from './level';
import { isBelowFloor, type Lineage } from './lineage';

/** Why a lineage is refused. `terminal` means killed: no waiting and no new login helps. */
export interface Denial {
  readonly subject: string;
  readonly killId: string;
  readonly terminal: boolean;
  readonly level?: string | undefined;
}

export interface Floor {
  readonly generation: number;
  /** The order that raised it. */
  readonly killId: string;
  /** Milliseconds since the Unix epoch on the database's clock; no token older than the floor lives beyond it. */
  readonly keepUntil: number;
  /**
   * Running work of generations below this is cut; absent: below the floor itself. Lower than the floor when an order
   * said `drain`: what runs comes to its own end.
   */
  readonly cutBelow?: number | undefined;
}

export interface Suspension {
  readonly subject: string;
  readonly level?: string | undefined;
  /** What runs comes to its own end. */
  readonly drain?: boolean | undefined;
  readonly epoch: number;
  readonly seq: number;
}

/** Everything in force at one point of the stream, as a snapshot carries it. */
export interface InForce {
  readonly epoch: number;
  readonly seq: number;
  readonly floors: Iterable<readonly [subject: string, floor: Floor]>;
  /** One item for each subject of each standing suspension. */
  readonly suspensions: Iterable<readonly [id: string, suspension: Suspension]>;
  readonly emergencies: Iterable<readonly [id: string, subject: string]>;
  /** Ids of lifted suspensions and of resolved emergencies: they never return. */
  readonly lifted: Iterable<string>;
}

/**
 * What an enforcement point knows to be dead. Three sets that merge without order, so that duplicated and reordered
 * messages change nothing: floors merge by maximum and are never lowered by a message; an entry adds its subject to
 * a suspension; a lift removes the suspension, which then never returns; emergencies deny every generation until the
 * order they announced is in force.
 *
 * It changes only in place and in one synchronous step, so a decision sees it before or after an entry, never between.
 */
export class DenialView {
  /** Grows with every change; a memo of "lineage not denied" holds while it stands still. */
  version = 0;
  private readonly floors = new Map<string, Floor>();
  private readonly suspensions = new Map<string, Map<string, Suspension>>();
  private readonly emergencies = new Map<string, Set<string>>();
  private readonly lifted = new Set<string>();
  /** The two sets again, by subject: order id → level of the suspension; ids of emergencies. */
  private readonly suspendedBy = new Map<string, Map<string, Level>>();
  private readonly stoppedBy = new Map<string, Set<string>>();

  get floorCount(): number {
    return this.floors.size;
  }

  get suspensionCount(): number {
    return this.suspensions.size;
  }

  get emergencyCount(): number {
    return this.emergencies.size;
  }

  /**
   * The first reason to refuse this lineage, a kill before a suspension; `null` when nothing stands against it. Without an
   * act: what refuses it whatever it does.
   */
  denial(lineage: Lineage, act?: Act): Denial | null {
    let suspended: Denial | null = null;
    for (const [subject, generation] of lineage) {
      const floor = this.floors.get(subject);
      if (floor !== undefined && isBelowFloor(generation, floor.generation))
        return { subject, killId: floor.killId, terminal: true };
      const order = this.suspensionOf(subject, act);
      // An emergency is a kill: it outranks a suspension found nearer the root.
      if (order?.terminal) return order;
      suspended ??= order;
    }
    return suspended;
  }

  /** Suspensions and emergencies alone; for subjects without a generation here (tool, upstream, signing key). */
  suspensionOf(subject: string, act?: Act): Denial | null {
    for (const killId of this.stoppedBy.get(subject) ?? [])
      return { subject, killId, terminal: true };
    for (const [killId, level] of this.suspendedBy.get(subject) ?? [])
      if (stops(level, act)) return this.suspendedAs(subject, killId);
    return null;
  }

  /** Does a suspension stand against this lineage that takes some calls and leaves others? */
  isNarrowed(lineage: Lineage): boolean {
    if (this.suspendedBy.size === 0) return false;
    return lineage.some(([subject]) =>
      [...(this.suspendedBy.get(subject)?.values() ?? [])].some(isNarrow),
    );
  }

  /**
   * The first reason to cut work of this lineage that runs already; `null` when nothing, or only orders that let it
   * drain, stand against it.
   */
  cut(lineage: Lineage, act?: Act): Denial | null {
    let suspended: Denial | null = null;
    for (const [subject, generation] of lineage) {
      const floor = this.floors.get(subject);
      if (floor !== undefined && isBelowFloor(generation, cutBelow(floor)))
        return { subject, killId: floor.killId, terminal: true };
      const order = this.cutBySuspension(subject, act);
      if (order?.terminal) return order;
      suspended ??= order;
    }
    return suspended;
  }

  /** As `suspensionOf`, without the suspensions that let running work drain. */
  cutBySuspension(subject: string, act?: Act): Denial | null {
    for (const killId of this.stoppedBy.get(subject) ?? [])
      return { subject, killId, terminal: true };
    for (const [killId, level] of this.suspendedBy.get(subject) ?? [])
      if (stops(level, act) && !this.suspensions.get(killId)?.get(subject)?.drain)
        return this.suspendedAs(subject, killId);
    return null;
  }

  /** Is that floor known here, and as one that lets running work drain? */
  drains(subject: string, generation: number): boolean {
    const floor = this.floors.get(subject);
    return floor !== undefined && floor.generation >= generation && cutBelow(floor) < generation;
  }

  /** Does that order stand against the subject, as a floor that names it or as a suspension? */
  isInForce(killId: string, subject: string): boolean {
    return (
      this.floors.get(subject)?.killId === killId ||
      (this.suspensions.get(killId)?.has(subject) ?? false)
    );
  }

  /** Is the emergency open for this subject? */
  isStopped(killId: string, subject: string): boolean {
    return this.emergencies.get(killId)?.has(subject) ?? false;
  }

  raiseFloor(subject: string, floor: Floor): void {
    const present = this.floors.get(subject);
    const merged = present === undefined ? floor : mergeFloors(present, floor);
    if (merged === present) return;
    this.floors.set(subject, merged);
    this.version += 1;
  }

  suspend(id: string, suspension: Suspension): void {
    if (this.lifted.has(id)) return;
    const subjects = this.suspensions.get(id) ?? new Map<string, Suspension>();
    // A snapshot does not say it; whoever heard the order itself knows.
    const drain = suspension.drain ?? subjects.get(suspension.subject)?.drain;
    subjects.set(suspension.subject, drain ? { ...suspension, drain } : suspension);
    this.suspensions.set(id, subjects);
    const orders = this.suspendedBy.get(suspension.subject) ?? new Map<string, Level>();
    this.suspendedBy.set(suspension.subject, orders.set(id, levelOf(suspension.level)));
    this.version += 1;
  }

  stopInEmergency(killId: string, subject: string): void {
    if (this.lifted.has(killId)) return;
    const subjects = this.emergencies.get(killId) ?? new Set<string>();
    subjects.add(subject);
    this.emergencies.set(killId, subjects);
    this.stoppedBy.set(subject, (this.stoppedBy.get(subject) ?? new Set<string>()).add(killId));
    this.version += 1;
  }

  /** Closes an emergency for one subject, once its own denial is in force. Not a lift: its other subjects stay stopped. */
  closeEmergency(killId: string, subject: string): void {
    const subjects = this.emergencies.get(killId);
    if (!subjects?.delete(subject)) return;
    if (subjects.size === 0) this.emergencies.delete(killId);
    forget(this.stoppedBy, subject, killId);
    this.version += 1;
  }

  lift(id: string): void {
    this.lifted.add(id);
    for (const subject of this.suspensions.get(id)?.keys() ?? [])
      forget(this.suspendedBy, subject, id);
    this.suspensions.delete(id);
    for (const subject of this.emergencies.get(id) ?? []) forget(this.stoppedBy, subject, id);
    this.emergencies.delete(id);
    this.version += 1;
  }

  /** Before the first snapshot of a newer epoch: it lists the lifts that a restored database has not forgotten. */
  forgetLifts(): void {
    this.lifted.clear();
  }

  /**
   * Merges a snapshot. Floors merge by maximum. Suspensions of its epoch up to its sequence number are replaced by its
   * list; those of older epochs, and emergencies, stay until it lists them as lifted.
   */
  merge(snapshot: InForce): void {
    const listed = new Map<string, Set<string>>();
    for (const [id, suspension] of snapshot.suspensions) {
      const subjects = listed.get(id) ?? new Set<string>();
      listed.set(id, subjects.add(suspension.subject));
      this.suspend(id, suspension);
    }
    for (const [id, subjects] of [...this.suspensions])
      for (const [subject, { epoch, seq }] of [...subjects])
        if (epoch === snapshot.epoch && seq <= snapshot.seq && !listed.get(id)?.has(subject)) {
          subjects.delete(subject);
          if (subjects.size === 0) this.suspensions.delete(id);
          forget(this.suspendedBy, subject, id);
        }
    for (const id of snapshot.lifted) this.lift(id);
    for (const [subject, floor] of snapshot.floors) this.raiseFloor(subject, floor);
    for (const [id, subject] of snapshot.emergencies) this.stopInEmergency(id, subject);
    this.version += 1;
  }

  /** Drops floors that no living token can be older than. `signedNow` is the database's clock, in milliseconds. */
  drop(signedNow: number): void {
    for (const [subject, floor] of this.floors)
      if (floor.keepUntil < signedNow) this.floors.delete(subject);
  }

  private suspendedAs(subject: string, killId: string): Denial {
    const level = this.suspensions.get(killId)?.get(subject)?.level;
    return { subject, killId, terminal: false, level };
  }

  /** Present floors, for comparison with the database in tests and for diagnostics. */
  *floorEntries(): IterableIterator<[string, Floor]> {
    yield* this.floors;
  }
}

/**
 * The higher generation, kept as long as either order asks: the database's clock may step back between two kills. Of two
 * orders with one generation the first raised it, and ids grow with time; without that rule the order named in a
 * refusal would depend on which message came first.
 */
function mergeFloors(a: Floor, b: Floor): Floor {
  const first =
    a.generation > b.generation || (a.generation === b.generation && a.killId <= b.killId);
  const raised = first ? a : b;
  const keepUntil = Math.max(a.keepUntil, b.keepUntil);
  // Of two orders against one generation, the one that cuts has its way.
  const below = Math.max(cutBelow(a), cutBelow(b));
  if (raised.keepUntil === keepUntil && cutBelow(raised) === below) return raised;
  const { generation, killId } = raised;
  return { generation, killId, keepUntil, ...(below < generation && { cutBelow: below }) };
}

function cutBelow({ generation, cutBelow: below }: Floor): number {
  return below ?? generation;
}

function forget(
  bySubject: Map<string, { delete(id: string): boolean; readonly size: number }>,
  subject: string,
  id: string,
): void {
  const orders = bySubject.get(subject);
  if (orders?.delete(id) && orders.size === 0) bySubject.delete(subject);
}
