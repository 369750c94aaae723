import {
  type DenialView,
  knownOp,
  type Emergency,
  type Entry,
  type LeaseGrant,
  type LeaseReply,
  type Pulse,
  type SnapshotItem,
  type SnapshotManifest,
} from '@sever/protocol';
import type { Instant } from '../../packages/enforcement/src/clock';
import { DenialRules } from '../../packages/enforcement/src/denial-rules';
import { LapseWatch } from '../../packages/enforcement/src/lapse-watch';
import { LeaseKeeper, type SentLeaseRequest } from '../../packages/enforcement/src/lease-keeper';
import { Machine } from '../../packages/enforcement/src/machine';
import type { Effect, MachineEvent, Standing } from '../../packages/enforcement/src/machine-events';
import { PulseWatch } from '../../packages/enforcement/src/pulse-watch';
import { SnapshotRules } from '../../packages/enforcement/src/snapshot-rules';

/** Takes an entry that is ahead as if nothing were missing before it. */
export class NoGapDetection extends Machine {
  protected override onGap(entry: Entry, hash: string, at: Instant): void {
    this.chain.jump(entry.epoch, entry.seq - 1, entry.digest);
    this.applyInOrder(entry, hash, at);
    this.drain(at);
  }
}

/** Reads a gap as the next entry; the chain's digest tells. */
export class GapReadAsNext extends Machine {
  protected override isGap(): boolean {
    return false;
  }
}

/** Admits from its start on. */
export class AdmitsAtBoot extends Machine {
  override standing(at: Instant): Standing {
    const standing = super.standing(at);
    if (standing !== 'starting') return standing;
    return this.options.mode === 'strict' ? 'fresh' : 'stale';
  }
}

/** Admits once it has a snapshot, though no lease has told where the head is. */
export class AdmitsBeforeFirstLease extends Machine {
  override standing(at: Instant): Standing {
    const standing = super.standing(at);
    if (standing !== 'starting' || !this.snapshotHeld) return standing;
    return this.options.mode === 'strict' ? 'fresh' : 'stale';
  }
}

/** Strict, and treats a lapsed lease as best_effort would. */
export class StrictWithoutLease extends Machine {
  override standing(at: Instant): Standing {
    const standing = super.standing(at);
    return standing === 'no_lease' ? 'fresh' : standing;
  }
}

/** best_effort, and does not say that it decides on an old view. */
export class StaleUnflagged extends Machine {
  override standing(at: Instant): Standing {
    const standing = super.standing(at);
    return standing === 'stale' ? 'fresh' : standing;
  }
}

/** Takes a lease although entries up to its head are missing. */
export class FreshThoughBehind extends Machine {
  protected override isCaughtUp(grant: LeaseGrant): boolean {
    return grant.epoch === this.chain.epoch;
  }
}

/** Takes a lease of whatever epoch. */
export class LeaseOfAnyEpoch extends Machine {
  protected override isCaughtUp(): boolean {
    return true;
  }

  protected override onNewerEpoch(): void {
    // Nothing: that is the mutation.
  }
}

/** Takes any lease reply as the answer to its latest request. */
export class NoReplayProtection extends Machine {
  private latest: SentLeaseRequest | undefined;

  override handle(event: MachineEvent, at: Instant): Effect[] {
    const effects = super.handle(event, at);
    for (const effect of effects)
      if (effect.type === 'request_lease') this.latest = { ...effect, at };
    return effects;
  }

  protected override answeredRequest(reply: LeaseReply): SentLeaseRequest | undefined {
    const own = super.answeredRequest(reply);
    return own ?? (reply.type === 'lease' ? this.latest : undefined);
  }
}

/** Lets a lease run from the moment its reply came. */
export class LeaseFromReceiptTime extends Machine {
  private came = 0;

  override handle(event: MachineEvent, at: Instant): Effect[] {
    this.came = at.mono;
    return super.handle(event, at);
  }

  protected override leaseStart(): number {
    return this.came;
  }
}

class NoDriftKeeper extends LeaseKeeper {
  override observe(): boolean {
    return false;
  }
}

/** A lease survives the suspension of its host. */
export class IgnoresDrift extends Machine {
  protected override readonly lease = new NoDriftKeeper();
}

class NoLapse extends LapseWatch {
  override look(): Effect[] {
    return [];
  }
}

/** Streams go on when the lease has run out (together with a relay that does not ask). */
export class NoHoldAtLapse extends Machine {
  protected override readonly lapse = new NoLapse();
}

/** Vouches for what it has only buffered. */
export class ReceiptBeforeApplying extends Machine {
  private seen = 0;

  override handle(event: MachineEvent, at: Instant): Effect[] {
    if (event.type === 'entry' && event.entry.epoch === this.chain.epoch)
      this.seen = Math.max(this.seen, event.entry.seq);
    return super.handle(event, at).map((effect) =>
      effect.type === 'receipt'
        ? {
            ...effect,
            body: { ...effect.body, applied: Math.max(effect.body.applied, this.seen) },
          }
        : effect,
    );
  }
}

class AnySnapshot extends SnapshotRules {
  override isOlder(): boolean {
    return false;
  }

  override contradicts(): boolean {
    return false;
  }
}

/** Lets an older snapshot take it back. */
export class AcceptsOlderSnapshot extends Machine {
  protected override readonly snapshots = new AnySnapshot(this.options.bootId);
}

/** Takes a snapshot that was made for another boot, or for another request. */
export class IgnoresBootId extends Machine {
  private asked = '';

  protected override askSnapshot(at: Instant): void {
    super.askSnapshot(at);
    for (const effect of this.effects)
      if (effect.type === 'request_snapshot') this.asked = effect.nonce;
  }

  protected override onSnapshot(
    { manifest, items }: Extract<MachineEvent, { type: 'snapshot' }>,
    at: Instant,
  ): void {
    const mine = { ...manifest, boot_id: this.options.bootId, nonce: this.asked };
    super.onSnapshot({ type: 'snapshot', manifest: mine, items }, at);
  }
}

/** Stays in its epoch. */
export class IgnoresNewEpoch extends Machine {
  protected override onNewerEpoch(): void {
    // Nothing: that is the mutation.
  }
}

/** Empties the view before a snapshot fills it. */
class Replacing extends SnapshotRules {
  override merge(view: DenialView, manifest: SnapshotManifest, items: readonly SnapshotItem[]) {
    view['floors'].clear();
    view['suspensions'].clear();
    view['suspendedBy'].clear();
    view['emergencies'].clear();
    view['stoppedBy'].clear();
    return super.merge(view, manifest, items);
  }
}

/** Forgets what the snapshot does not name, floors of an earlier epoch too. */
export class SnapshotReplacesAll extends Machine {
  protected override readonly snapshots = new Replacing(this.options.bootId);
}

class SkipsUnknown extends DenialRules {
  override deny(entry: Entry): Effect[] {
    return knownOp(entry) === null ? [] : super.deny(entry);
  }
}

/** Passes over an op that it does not know. */
export class SkipsUnknownOps extends Machine {
  protected override readonly denials = new SkipsUnknown(this.view, this.emergencies);
}

class Quiet extends DenialRules {
  override apply(entry: Entry): Effect[] {
    return super.apply(entry).filter(({ type }) => type !== 'abort');
  }

  override deny(entry: Entry): Effect[] {
    return super.deny(entry).filter(({ type }) => type !== 'abort');
  }
}

/** Denies the next call, and lets the present one run. */
export class LetsCallsRun extends Machine {
  protected override readonly denials = new Quiet(this.view, this.emergencies);
}

/** Finds an empty key directory at each start. */
export class ForgetsEmergenciesAtRestart extends Machine {
  constructor(options: ConstructorParameters<typeof Machine>[0]) {
    super({ ...options, kept: undefined });
  }
}

/** Keeps what is open, and forgets which ids are over. */
export class ForgetsWhatIsOver extends Machine {
  constructor(options: ConstructorParameters<typeof Machine>[0]) {
    super({ ...options, kept: options.kept && { ...options.kept, resolved: [] } });
  }
}

class CutsAll extends DenialRules {
  override deny(entry: Entry): Effect[] {
    return super.deny({ ...entry, op: { ...entry.op, in_flight: undefined } });
  }
}

/** Takes no notice of what an order says of running work. */
export class CutsWhatDrains extends Machine {
  protected override readonly denials = new CutsAll(this.view, this.emergencies);
}

class DrainsForGood extends DenialRules {
  override deny(entry: Entry): Effect[] {
    const { op } = entry;
    const spared = op.op === 'floor' && this['view'].drains(String(op.subject), 1);
    return super.deny(spared ? { ...entry, op: { ...op, in_flight: 'drain' } } : entry);
  }
}

/** Once told to let an agent's work drain, lets no later order cut it. */
export class DrainsDespiteLaterKills extends Machine {
  protected override readonly denials = new DrainsForGood(this.view, this.emergencies);
}

class SparingSnapshots extends SnapshotRules {
  override merge(view: DenialView, manifest: SnapshotManifest, items: readonly SnapshotItem[]) {
    for (const [kind, subject, generation, keepUntil, killId] of items as readonly unknown[][])
      if (kind === 'f')
        view.raiseFloor(subject as string, {
          ...{ generation: generation as number, keepUntil: keepUntil as number },
          ...{ killId: killId as string, cutBelow: 0 },
        });
    return super.merge(view, manifest, items);
  }
}

/** Lets work run on because a snapshot does not say that it must be cut. */
export class SnapshotFloorsDrain extends Machine {
  protected override readonly snapshots = new SparingSnapshots(this.options.bootId);
}

class CuttingSnapshots extends SnapshotRules {
  override merge(view: DenialView, manifest: SnapshotManifest, items: readonly SnapshotItem[]) {
    const effects = super.merge(view, manifest, items);
    for (const [subject, floor] of [...view.floorEntries()])
      view.raiseFloor(subject, { ...floor, cutBelow: floor.generation });
    return effects;
  }
}

/** Cuts at each snapshot what an order lets drain. */
export class SnapshotsCutWhatDrains extends Machine {
  protected override readonly snapshots = new CuttingSnapshots(this.options.bootId);
}

class Deaf extends DenialRules {
  override emergency(): Effect[] {
    return [];
  }
}

/** Waits for the database. */
export class IgnoresEmergencies extends Machine {
  protected override readonly denials = new Deaf(this.view, this.emergencies);
}

class Reopening extends DenialRules {
  override emergency({ kill_id: killId, subjects }: Emergency): Effect[] {
    for (const subject of subjects) this['view'].stopInEmergency(killId, subject);
    return [{ type: 'abort', subjects }];
  }
}

/** A late or replayed emergency denies again what its order has closed. */
export class ReopensEmergencies extends Machine {
  protected override readonly denials = new Reopening(this.view, this.emergencies);
}

class NeverLifts extends DenialRules {
  override apply(entry: Entry): Effect[] {
    return knownOp(entry)?.op === 'lift' ? [] : super.apply(entry);
  }
}

/** Leaves a lift to the next snapshot. */
export class IgnoresLifts extends Machine {
  protected override readonly denials = new NeverLifts(this.view, this.emergencies);
}

class BlindWatch extends PulseWatch {
  override sawHead(): void {
    // Nothing: that is the mutation.
  }
}

/** Does not compare the head in a pulse. */
export class IgnoresPulseHead extends Machine {
  protected override readonly pulses = new BlindWatch();
}

/** Takes a pulse that has come before. */
export class TakesReplayedPulses extends Machine {
  protected override isReplayed(_: Pulse): boolean {
    return false;
  }
}

/** Takes no account of how long it was away. */
export class TrustsOldFloors extends Machine {
  protected override lastCaughtUp(): null {
    return null;
  }
}

/** Keeps what it has of a lost epoch to itself. */
export class NeverShows extends Machine {
  protected override showEvidence(): void {
    // Nothing: that is the mutation.
  }
}

/** Once it has diverged it stays dark, whatever epoch comes. */
export class DarkForGood extends Machine {
  protected override staysDiverged(): boolean {
    return this.diverged !== null;
  }
}

/** Does not enforce again what was lifted in an epoch that the database has lost. */
export class KeepsLostLifts extends Machine {
  protected override onEpochEnd(next: number): void {
    const lifted = [...this.view['lifted']];
    super.onEpochEnd(next);
    for (const id of lifted) this.view.lift(id);
  }
}
