import type { LeaseGrant, LeaseRefusal, LeaseReply } from '@sever/protocol';
import type { Instant } from './clock';
import { LapseWatch } from './lapse-watch';
import { LeaseKeeper, type SentLeaseRequest } from './lease-keeper';
import type { Alarm, Effect, MachineEvent, Standing } from './machine-events';
import { StreamFollower } from './stream-follower';

const DROP_EVERY_MS = 10_000;

/**
 * The enforcement point, as a pure state machine: events and clock readings in, effects out. It does no I/O, owns no
 * timer and reads no clock, so a model can run it under any schedule of losses, repeats and crashes.
 *
 * Each rule of the protocol is a method of its own; a model takes one out by overriding it.
 */
export class Machine extends StreamFollower {
  protected readonly lease = new LeaseKeeper();
  protected readonly lapse = new LapseWatch();
  private booted = false;
  private nextLeaseAt = Infinity;
  private lastDrop = 0;
  private leaseRevoked = false;
  private revokedSelf = false;
  private revokedBy: string | undefined;

  handle(event: MachineEvent, at: Instant): Effect[] {
    this.effects = [];
    // A halt outlives this process, which may be dark for a reason that a restart ends.
    if (this.dark !== null)
      return event.type === 'halt' || event.type === 'emergency'
        ? this.keepInTheDark(event, at)
        : this.effects;
    this.observeClock(at);
    // Before a renewal in this very event: work that found itself held meanwhile is told so, and then of the release.
    this.watchLease(at);
    this.dispatch(event, at);
    this.keepEmergencies();
    this.watchSelf();
    this.watchLease(at);
    this.runDue(at);
    return this.effects;
  }

  /** Monotonic moment of the next `tick` that can matter. */
  nextDeadline(): number {
    if (this.dark !== null) return Infinity;
    return Math.min(
      this.isLapsable() ? this.lapse.nextAt(this.lease.until) : Infinity,
      this.snapshotRetry.nextAt,
      this.catchUp.nextAt,
      this.pulses.nextAt,
      this.evidence.nextAt,
      this.diverged === null ? (this.receipts.dueAt ?? Infinity) : Infinity,
      this.canLease() ? this.nextLeaseAt : Infinity,
    );
  }

  /** What a decision at this moment stands on. A suspended machine's first look voids the lease before it answers. */
  standing(at: Instant): Standing {
    this.observeClock(at);
    if (this.refusesAll || this.revokedSelf) return 'dark';
    if (!this.booted) return 'starting';
    if (this.lease.isValid(at.mono)) return 'fresh';
    return this.options.mode === 'strict' ? 'no_lease' : 'stale';
  }

  /** Milliseconds since the Unix epoch for `exp`: a wall clock set back revives nothing. */
  now(at: Instant): number {
    return Math.max(at.wall, this.signedNow);
  }

  leaseLeftMs(at: Instant): number {
    return this.lease.leftMs(at.mono);
  }

  get darkBecause(): string | null {
    const dark = this.dark ?? this.diverged;
    if (dark !== null) return dark;
    return this.revokedSelf
      ? 'this enforcement point, or the key it enrolled with, is revoked'
      : null;
  }

  /** Dark because of an order that can be lifted: it goes on following the stream and reporting. */
  get isRevoked(): boolean {
    return !this.refusesAll && this.revokedSelf;
  }

  /** Refuse everything from now on, for a reason outside the protocol (lock lost, closing). */
  goDark(alarm: Alarm): Effect[] {
    this.effects = [];
    this.darken(alarm);
    return this.effects;
  }

  private dispatch(event: MachineEvent, at: Instant): void {
    switch (event.type) {
      case 'start':
      case 'connected':
        return this.resynchronise(at);
      case 'suspect':
        this.loseSync();
        return this.askSnapshot(at);
      case 'disconnected':
        return this.loseSync();
      case 'thawed':
        return this.onThaw(at);
      case 'entry':
        return this.onEntry(event, at);
      case 'pulse':
        return this.onPulse(event.pulse, at);
      case 'emergency':
        return this.onEmergency(event.emergency, at);
      case 'halt':
        return this.onHalt(event, at);
      case 'drained':
        return this.reportSoon(at);
      case 'snapshot':
        return this.onSnapshot(event, at);
      case 'snapshot_failed':
        return this.onSnapshotFailed(event.nonce, at);
      case 'range':
        if (event.epoch !== this.chain.epoch) return this.drop('older_epoch');
        return this.follow(this.catchUp.answered(this.chain.applied, event.compacted, at.mono), at);
      case 'range_failed':
        return this.catchUp.failed(at.mono);
      case 'lease':
        return this.onLease(event.reply, at);
      case 'lease_failed':
        if (this.lease.answered(event.nonce) !== undefined) this.leaseSoon(at);
        return;
      case 'evidence_taken':
        return this.onEvidenceTaken(event.epoch, at);
      case 'evidence_failed':
        return this.evidence.failed(at.mono);
      case 'tick':
        return;
    }
  }

  /**
   * A lease that still has time left says nothing about a kill that waits unread in a socket. Nor do replies that wait
   * there: only one asked for from now on shows that everything before it has been read.
   */
  protected onThaw(at: Instant): void {
    this.lease.void();
    this.nextLeaseAt = at.mono;
  }

  protected onLoss(): void {
    // A reply to a request from before the loss could renew a lease without having caught up.
    this.lease.forgetRequests();
  }

  /** Also best_effort admits nothing before a lease of the epoch that it begins anew in. */
  protected onDivergence(): void {
    this.lease.void();
    this.booted = false;
    this.nextLeaseAt = Infinity;
  }

  protected onProgress(): void {
    const ready = this.lease.takeWaiting((grant) => this.isCaughtUp(grant));
    if (ready !== null) this.beginLease(ready.sent, ready.grant);
  }

  protected onSynced(at: Instant): void {
    this.nextLeaseAt = at.mono;
  }

  protected lastCaughtUp(): { readonly mono: number; readonly now: number } | null {
    return this.lease.lastCaughtUp;
  }

  // LEASE

  private onLease(reply: LeaseReply, at: Instant): void {
    const sent = this.answeredRequest(reply);
    if (sent === undefined) return this.drop('unexpected_lease');
    if (reply.type === 'lease-refused') return this.onLeaseRefused(reply.code, at);
    this.signedNow = Math.max(this.signedNow, reply.now);
    if (reply.epoch > this.chain.epoch) return this.onNewerEpoch(reply.epoch, at);
    if (reply.epoch < this.chain.epoch) return this.drop('older_epoch');
    if (sent.epoch === reply.epoch && reply.head < sent.applied)
      return this.diverge(`the control plane's head ${reply.head} is behind ${sent.applied}`);
    if (this.isCaughtUp(reply)) return this.beginLease(sent, reply);
    this.lease.await(sent, reply);
    this.askRange(reply.head, at);
  }

  private onLeaseRefused(code: LeaseRefusal['code'], at: Instant): void {
    switch (code) {
      case 'boot_unknown':
        this.loseSync();
        return this.snapshotRetry.failed(at.mono);
      case 'divergence':
        return this.diverge('the control plane holds another digest than this enforcement point');
      case 'revoked':
        this.leaseRevoked = true;
    }
  }

  /** A reply counts once, for the boot and the request that it answers. */
  protected answeredRequest(reply: LeaseReply): SentLeaseRequest | undefined {
    if (reply.boot_id !== this.options.bootId || reply.ep !== this.options.ep) return undefined;
    return this.lease.answered(reply.nonce);
  }

  protected isCaughtUp(grant: LeaseGrant): boolean {
    return grant.epoch === this.chain.epoch && grant.head <= this.chain.applied;
  }

  protected leaseStart(sent: SentLeaseRequest): number {
    return sent.at.mono;
  }

  private beginLease(sent: SentLeaseRequest, grant: LeaseGrant): void {
    this.lease.begin(sent, grant, this.leaseStart(sent));
    this.booted = true;
    this.leaseRevoked = false;
    if (this.signedNow - this.lastDrop > DROP_EVERY_MS) {
      this.view.drop(this.signedNow);
      this.lastDrop = this.signedNow;
    }
    this.nextLeaseAt = Math.min(this.nextLeaseAt, sent.at.mono + grant.valid_ms / 4);
  }

  private askLease(at: Instant): void {
    const { epoch, applied, digest } = this.chain;
    const nonce = this.options.nonce();
    this.lease.request({ nonce, at, epoch, applied });
    this.nextLeaseAt = at.mono + this.lease.validMs / 4;
    this.emit({ type: 'request_lease', nonce, epoch, applied, digest });
    // Receipts are not acknowledged: the last one goes along with each lease request.
    if (this.receipts.appliedAt !== null) this.emitReceipt(at);
  }

  private leaseSoon(at: Instant): void {
    const wait = Math.min(this.lease.validMs / 4, 500 * (1 + this.options.random()));
    this.nextLeaseAt = Math.min(this.nextLeaseAt, at.mono + wait);
  }

  protected canLease(): boolean {
    return this.snapshotHeld && this.synced;
  }

  // LAPSE and CLOCK

  private observeClock(at: Instant): void {
    if (this.lease.observe(at)) this.nextLeaseAt = at.mono;
  }

  private isLapsable(): boolean {
    return this.options.mode === 'strict' && this.booted;
  }

  private watchLease(at: Instant): void {
    if (this.dark !== null || !this.isLapsable()) return;
    this.emit(...this.lapse.look(this.lease.isValid(at.mono), this.lease.until, at.mono));
  }

  // What time brings

  private runDue(at: Instant): void {
    if (this.dark !== null) return;
    if (this.snapshotRetry.isDue(at.mono)) this.askSnapshot(at);
    const missing = this.pulses.takeMissing(at.mono);
    if (missing !== null) this.askRange(missing, at);
    this.follow(this.catchUp.due(this.chain.applied, at.mono), at);
    this.showEvidence(at);
    if (this.diverged !== null) return;
    if (this.canLease() && at.mono >= this.nextLeaseAt) this.askLease(at);
    if (this.receipts.dueAt !== null && at.mono >= this.receipts.dueAt) this.emitReceipt(at);
  }

  private emitReceipt(at: Instant): void {
    this.receipts.sent(at.mono);
    const { epoch, applied, digest } = this.chain;
    const appliedAt = this.receipts.appliedAt ?? at.mono;
    const halts = this.haltReports.next();
    const body = { epoch, applied, digest, nacks: this.denials.nacks(), appliedAt, halts };
    this.emit({ type: 'receipt', body });
  }

  /** Whatever an event has opened, closed or outlived, a restart must find it so. */
  protected keepEmergencies(): void {
    this.emergencies.reconcile();
    this.emergencies.forget(this.signedNow);
    const emergencies = this.emergencies.takeChange(this.signedNow);
    if (emergencies !== null) this.emit({ type: 'keep', emergencies });
  }

  private keepInTheDark(event: MachineEvent, at: Instant): Effect[] {
    this.dispatch(event, at);
    this.keepEmergencies();
    return this.effects;
  }

  /** A kill of this enforcement point, or of the key it enrolled with, darkens it until lifted. */
  protected watchSelf(): void {
    const { ep, enrolmentKeyId } = this.options;
    const denial =
      this.view.suspensionOf(`enforcement_point:${ep}`) ??
      (enrolmentKeyId ? this.view.suspensionOf(`enrolment_key:${enrolmentKeyId}`) : null);
    const revoked = denial !== null || this.leaseRevoked;
    const killId = denial?.killId;
    // A refused lease may tell it before the order comes; what still runs is the order's to account for.
    if (revoked && (!this.revokedSelf || (killId !== undefined && this.revokedBy === undefined)))
      this.emit({ type: 'cut', because: 'dark', killId });
    if (revoked && !this.revokedSelf)
      this.emit({
        type: 'alarm',
        alarm: { kind: 'revoked', detail: killId ?? 'no lease is given' },
      });
    this.revokedSelf = revoked;
    this.revokedBy = killId;
  }
}
