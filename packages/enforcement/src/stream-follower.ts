import {
  DenialView,
  type Emergency,
  type Entry,
  type Pulse,
  type SnapshotManifest,
} from '@sever/protocol';
import type { Instant } from './clock';
import { CatchUp, type Ask } from './catch-up';
import { Chain } from './chain';
import { DenialRules } from './denial-rules';
import { EmergencyBook } from './emergency-book';
import { EvidenceKeeper } from './evidence-keeper';
import { EntryBuffer } from './entry-buffer';
import { HaltReports } from './halt-reports';
import type {
  Alarm,
  Effect,
  MachineEvent,
  MachineOptions,
  SignedEntry,
  SignedHalt,
} from './machine-events';
import { PulseWatch } from './pulse-watch';
import { ReceiptSchedule } from './receipt-schedule';
import { RetrySchedule } from './retry-schedule';
import { SnapshotRules } from './snapshot-rules';

type SnapshotEvent = Extract<MachineEvent, { type: 'snapshot' }>;

/**
 * The half of the enforcement point that follows the stream: entries in order and out of order, gaps, snapshots,
 * pulses, divergence. The other half, `Machine`, decides what may be admitted on the strength of it.
 */
export abstract class StreamFollower {
  readonly view = new DenialView();
  readonly chain: Chain;
  /** Messages that changed nothing, by reason. */
  readonly dropped: Record<string, number> = {};
  /** The latest time that the control plane signed, in milliseconds; drops floors and bounds `exp`. */
  signedNow: number;
  readonly emergencies: EmergencyBook;
  protected readonly haltReports: HaltReports;
  protected readonly buffer = new EntryBuffer();
  protected readonly denials: DenialRules;
  protected readonly receipts: ReceiptSchedule;
  protected readonly snapshots: SnapshotRules;
  protected readonly snapshotRetry: RetrySchedule;
  protected readonly pulses = new PulseWatch();
  protected readonly catchUp: CatchUp;
  protected effects: Effect[] = [];
  protected snapshotHeld = false;
  /** False from a suspected loss until everything up to a fresh snapshot is known again. */
  protected synced = false;
  protected dark: string | null = null;
  /** Dark as well, until the control plane opens a newer epoch: then it begins anew, and forgets no denial. */
  protected diverged: string | null = null;
  protected readonly evidence: EvidenceKeeper;
  /** Something may have been lost after the outstanding snapshot was asked for. */
  private lostSinceAsked = false;
  private snapshotNonce: string | null = null;
  private seenEpoch = 0;

  constructor(protected readonly options: MachineOptions) {
    const { random } = options;
    this.chain = new Chain(options.sha256);
    this.signedNow = options.kept?.now ?? 0;
    this.emergencies = new EmergencyBook(this.view, options.kept);
    this.haltReports = new HaltReports(this.emergencies);
    this.denials = new DenialRules(this.view, this.emergencies);
    this.receipts = new ReceiptSchedule(random);
    this.snapshots = new SnapshotRules(options.bootId);
    this.snapshotRetry = new RetrySchedule({
      firstMs: 250,
      maxMs: 5_000,
      timeoutMs: 10_000,
      random,
    });
    this.catchUp = new CatchUp(random);
    this.evidence = new EvidenceKeeper(random);
  }

  /** Messages may have been lost. */
  protected abstract onLoss(): void;
  /** More of the stream is applied than before. */
  protected abstract onProgress(): void;
  /** Nothing is missing any more up to a snapshot taken since the loss. */
  protected abstract onSynced(at: Instant): void;
  /** Nothing that the control plane said before counts any more. */
  protected abstract onDivergence(): void;
  /** When a lease last proved that nothing was missing. */
  protected abstract lastCaughtUp(): { readonly mono: number; readonly now: number } | null;

  // ENTRY

  protected onEntry(signed: SignedEntry, at: Instant): void {
    const { entry } = signed;
    const hash = this.chain.hash(signed.payload);
    if (signed.jws !== undefined && this.evidence.keep(entry, hash, signed.jws))
      // Late: what else it has of that epoch was shown before.
      if (this.snapshotHeld && entry.epoch < this.chain.epoch) this.evidence.want();
    if (this.diverged !== null && entry.epoch <= this.chain.epoch)
      return this.emit(...this.denials.deny(entry));
    if (!this.snapshotHeld || entry.epoch > this.chain.epoch) return this.setAside(entry, hash, at);
    if (entry.epoch < this.chain.epoch) return this.drop('older_epoch');
    if (entry.seq <= this.chain.applied) return this.onRepeated(entry, hash, at);
    if (this.isGap(entry.seq)) return this.onGap(entry, hash, at);
    this.applyInOrder(entry, hash, at);
    this.drain(at);
  }

  protected isGap(seq: number): boolean {
    return seq > this.chain.applied + 1;
  }

  /** Its denials hold whatever its epoch; its place is found with the snapshot. */
  protected setAside(entry: Entry, hash: string, at: Instant): void {
    this.buffer.put({ entry, hash });
    this.emit(...this.denials.deny(entry));
    if (this.snapshotHeld) this.onNewerEpoch(entry.epoch, at);
  }

  protected onRepeated(entry: Entry, hash: string, at: Instant): void {
    if (this.contradicts(this.chain.kept(entry.seq), hash))
      return this.diverge(`two entries with sequence number ${entry.epoch}.${entry.seq}`);
    this.receipts.schedule(at.mono);
  }

  protected onGap(entry: Entry, hash: string, at: Instant): void {
    if (this.contradicts(this.buffer.at(entry)?.hash, hash))
      return this.diverge(`two entries with sequence number ${entry.epoch}.${entry.seq}`);
    this.buffer.put({ entry, hash });
    this.emit(...this.denials.deny(entry));
    this.askRange(entry.seq - 1, at);
  }

  protected contradicts(kept: string | undefined, hash: string): boolean {
    return kept !== undefined && kept !== hash;
  }

  protected breaksChain(entry: Entry): boolean {
    return entry.digest !== this.chain.digest;
  }

  protected applyInOrder(entry: Entry, hash: string, at: Instant): void {
    if (this.breaksChain(entry))
      return this.diverge(
        `entry ${entry.epoch}.${entry.seq} does not follow from what was applied`,
      );
    this.emit(...this.denials.apply(entry));
    this.emergencies.committed(entry.kill_id);
    this.chain.advance(hash);
    this.receipts.applied(at.mono);
  }

  protected drain(at: Instant): void {
    while (!this.refusesAll) {
      const next = this.buffer.take({ epoch: this.chain.epoch, seq: this.chain.applied + 1 });
      if (next === undefined) break;
      this.applyInOrder(next.entry, next.hash, at);
    }
    if (this.refusesAll) return;
    this.pulses.reached(this.chain.applied);
    this.onProgress();
  }

  // PULSE and EMERGENCY

  protected onPulse(pulse: Pulse, at: Instant): void {
    if (this.isReplayed(pulse)) return this.drop('replayed_pulse');
    this.pulses.remember(pulse);
    this.signedNow = Math.max(this.signedNow, pulse.now);
    this.receipts.windowMs = pulse.receipt_window_ms;
    if (!this.snapshotHeld) return;
    if (pulse.epoch > this.chain.epoch) return this.onNewerEpoch(pulse.epoch, at);
    if (pulse.epoch < this.chain.epoch) return this.drop('older_epoch');
    if (this.diverged !== null) return;
    this.pulses.sawHead(pulse.head, this.chain.applied, at.mono);
  }

  protected isReplayed(pulse: Pulse): boolean {
    return this.pulses.isReplayed(pulse);
  }

  protected onEmergency(emergency: Emergency, at: Instant): void {
    if (emergency.not_after < this.signedNow) return this.drop('expired_emergency');
    this.emit(...this.denials.emergency(emergency));
    this.reportSoon(at);
  }

  /** Who made it is a key that an admin registered: it needs neither this connection nor a lease to be obeyed. */
  protected onHalt({ halt, jws, kid }: SignedHalt, at: Instant): void {
    const { kill_id: killId, reason, issued_at: issuedAt, subjects } = halt;
    if (halt.not_after < this.signedNow) return this.drop('expired_halt');
    if (this.emergencies.isResolved(killId)) return this.drop('resolved_halt');
    const effects = this.denials.emergency(halt);
    this.emit(...effects);
    this.emergencies.signed(killId, { jws, kid, reason, issuedAt, committed: false });
    if (effects.length > 0)
      this.emit({
        type: 'alarm',
        alarm: { kind: 'halt', detail: `${killId} under key ${kid} stops ${subjects.join(', ')}` },
      });
    this.reportSoon(at);
  }

  /** Something that a receipt says has changed, though no entry came. */
  protected reportSoon(at: Instant): void {
    if (this.receipts.appliedAt !== null) this.receipts.schedule(at.mono);
  }

  // SNAPSHOT and RECONNECT

  protected loseSync(): void {
    this.synced = false;
    this.lostSinceAsked = true;
    this.onLoss();
  }

  protected resynchronise(at: Instant): void {
    this.loseSync();
    this.snapshotRetry.answered();
    this.evidence.again();
    this.askSnapshot(at);
  }

  protected onNewerEpoch(epoch: number, at: Instant): void {
    this.seenEpoch = Math.max(this.seenEpoch, epoch);
    this.askSnapshot(at);
  }

  protected askSnapshot(at: Instant): void {
    if (this.snapshotRetry.outstanding) return;
    this.lostSinceAsked = false;
    this.snapshotNonce = this.options.nonce();
    this.snapshotRetry.asked(at.mono);
    this.emit({ type: 'request_snapshot', nonce: this.snapshotNonce });
  }

  protected onSnapshot(snapshot: SnapshotEvent, at: Instant): void {
    const { manifest } = snapshot;
    if (!this.snapshots.isForThisBoot(manifest) || manifest.nonce !== this.snapshotNonce)
      return this.drop('foreign_snapshot');
    this.snapshotNonce = null;
    if (this.snapshotHeld && manifest.epoch < this.chain.epoch) {
      this.drop('older_snapshot');
      return this.snapshotRetry.failed(at.mono);
    }
    this.snapshotRetry.answered();
    if (this.staysDiverged(manifest)) return this.drop('diverged');
    if (this.snapshotHeld && this.snapshots.isOlder(manifest, this.chain)) {
      // Entries overtook it without a gap: this boot knows more than the snapshot says.
      this.drop('older_snapshot');
      return this.afterSnapshot(at);
    }
    if (this.snapshotHeld && this.snapshots.contradicts(manifest, this.chain))
      return this.diverge(`the digest at ${manifest.epoch}.${manifest.seq} differs`);
    this.adopt(snapshot, at);
  }

  protected staysDiverged({ epoch }: SnapshotManifest): boolean {
    return this.diverged !== null && epoch <= this.chain.epoch;
  }

  protected adopt({ manifest, items, jws }: SnapshotEvent, at: Instant): void {
    const newEpoch = manifest.epoch !== this.chain.epoch;
    if (newEpoch) this.onEpochEnd(manifest.epoch);
    if (jws !== undefined) this.evidence.keepManifest(manifest, jws);
    this.signedNow = Math.max(this.signedNow, manifest.now);
    const opening = items.filter(
      (item) => item[0] !== 'e' || this.emergencies.mayOpen(item[1], item[2]),
    );
    this.emit(...this.snapshots.merge(this.view, manifest, opening));
    this.emergencies.listed(opening, manifest.now);
    this.chain.jump(manifest.epoch, manifest.seq, manifest.digest);
    this.snapshotHeld = true;
    if (newEpoch) {
      this.catchUp.forget();
      this.pulses.forget();
      this.denials.forgetNacks();
    }
    this.emit({ type: 'abort', subjects: null });
    // After that: what a known kill denies is for that kill's receipt to count.
    if (this.snapshots.floorsMayBeMissing(this.lastCaughtUp(), manifest, at))
      this.emit({ type: 'cut', because: 'floors_missing' });
    this.receipts.applied(at.mono);
    this.buffer.dropUpTo(manifest);
    this.drain(at);
    if (!this.refusesAll) this.afterSnapshot(at);
  }

  /**
   * What it denies, it goes on denying, and shows what the control plane has signed of the epoch that has ended. A lift of
   * that epoch does not count against an order that stands in the new one: it must be ordered, or proven, again.
   */
  protected onEpochEnd(next: number): void {
    this.diverged = null;
    this.view.forgetLifts();
    // Also at the first snapshot: an entry may have come before it, of an epoch that it does not belong to any more.
    if (this.evidence.hasBefore(next)) this.evidence.want();
  }

  protected afterSnapshot(at: Instant): void {
    // It may have been read before what was lost. The next one is asked for only now, and not at each loss: under a
    // flood of losses no snapshot would ever arrive.
    if (this.lostSinceAsked) return this.askSnapshot(at);
    this.synced = true;
    this.onSynced(at);
    if (this.seenEpoch > this.chain.epoch) this.askSnapshot(at);
  }

  // RANGE

  protected askRange(to: number, at: Instant): void {
    this.follow(this.catchUp.want(to, this.chain.applied, at.mono), at);
  }

  protected follow(ask: Ask, at: Instant): void {
    if (ask === 'snapshot') return this.askSnapshot(at);
    if (ask === null || this.diverged !== null) return;
    const { epoch, applied } = this.chain;
    this.emit({ type: 'request_range', epoch, from: applied + 1, to: this.catchUp.wantedTo });
  }

  protected onSnapshotFailed(nonce: string, at: Instant): void {
    if (nonce === this.snapshotNonce) this.snapshotRetry.failed(at.mono);
  }

  protected diverge(detail: string): void {
    if (this.refusesAll) return;
    this.diverged = `divergence: ${detail}`;
    this.synced = false;
    this.catchUp.forget();
    this.onDivergence();
    this.emit(
      { type: 'cut', because: 'dark' },
      { type: 'alarm', alarm: { kind: 'divergence', detail } },
    );
    this.evidence.want();
  }

  /** Shown again until it is taken: without it neither side can know what the other has lost. */
  protected showEvidence(at: Instant): void {
    if (!this.evidence.isDue(at.mono)) return;
    const { epoch, applied } = this.chain;
    const below = this.diverged === null ? epoch : Infinity;
    this.emit({ type: 'show_evidence', epoch, applied, ...this.evidence.show(below, at.mono) });
  }

  protected onEvidenceTaken(epoch: number, at: Instant): void {
    this.evidence.taken();
    if (epoch > this.chain.epoch) this.onNewerEpoch(epoch, at);
  }

  protected get refusesAll(): boolean {
    return this.dark !== null || this.diverged !== null;
  }

  protected darken(alarm: Alarm): void {
    this.dark = `${alarm.kind}: ${alarm.detail}`;
    this.emit({ type: 'cut', because: 'dark' }, { type: 'alarm', alarm });
  }

  protected drop(reason: string): void {
    this.dropped[reason] = (this.dropped[reason] ?? 0) + 1;
  }

  protected emit(...effects: Effect[]): void {
    this.effects.push(...effects);
  }
}
