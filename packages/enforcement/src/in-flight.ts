import type { DenialView, InFlightCounts } from '@sever/protocol';
import type { Clock, Timers } from './clock';
import { boundarySubjects, refusal, standingCut, standingDenial } from './decide';
import { KillWatches } from './kill-watches';
import { StrictCalls } from './strict-calls';
import { RefusedError, type CallContext, type Denied, type InFlightCall } from './types';
import type { VerifiedToken } from './verified-token';

/** How long a receipt waits for aborted calls to settle before it counts them as uncontrolled. */
export const SETTLE_MS = 250;
const REMEMBERED_KILLS = 256;

type Outcome = 'aborted' | 'completed';

/**
 * `relayed`: bytes that can be held back. `guarded`: work that only a signal reaches, so a hold aborts it. `let_through`:
 * carried out by somebody else's proxy, where nothing reaches it; it is only counted.
 */
export type CallKind = 'relayed' | 'guarded' | 'let_through';

export interface InFlightOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly abort: 'stream' | 'signal' | 'none';
  /** Read at each look at `held`: a process that was stopped must not relay a byte before its timers run again. */
  readonly mayRelay: () => boolean;
  /** Whether there is a lease: what calls that are strict by themselves go by. */
  readonly isLeased?: () => boolean;
  /** A call that an order lets drain has ended: what receipts say of it has changed. */
  readonly onDrained?: () => void;
}

interface Aborted {
  /** `null`: it was told to stop, but by no kill that is known. */
  readonly killId: string | null;
  readonly until: number;
}

/** The calls in flight: who makes them, what a kill must cut, and what became of those that it cut. */
export class InFlight {
  /** All that have not ended, those told to stop included. */
  private readonly calls = new Set<TrackedCall>();
  private readonly bySubject = new Map<string, Set<TrackedCall>>();
  private readonly unsettled = new Map<TrackedCall, Aborted>();
  /** Calls that are denied, and that every order against them lets come to their own end; by the order that counts them. */
  private readonly draining = new Map<TrackedCall, string>();
  private readonly byKill = new Map<string, { aborted: number; completed: number }>();
  private readonly watches = new KillWatches();
  private endListeners: (() => void)[] = [];
  private serial = 0;
  private letThrough = 0;
  private holding = false;

  private readonly strict: StrictCalls | undefined;

  constructor(private readonly options: InFlightOptions) {
    const { clock, timers, isLeased } = options;
    this.strict =
      isLeased &&
      new StrictCalls({
        ...{ clock, timers, isLeased },
        onHold: (call, held) => (held ? this.holdOne(call) : call.tellHold(false)),
        onCut: (call) => this.cutOne(call, null),
      });
  }

  /** Those that end here; what was let through ends elsewhere, and nobody waits for it. */
  get size(): number {
    return this.calls.size - this.letThrough;
  }

  /** Call it in the same synchronous step as the decision, so that no kill falls between the two. */
  admit(verified: VerifiedToken, context: CallContext, kind: CallKind): TrackedCall {
    this.serial += 1;
    const call = new TrackedCall(`${this.serial}`, verified, context, kind, this);
    this.calls.add(call);
    if (kind === 'let_through') this.letThrough += 1;
    if (context.mode === 'strict') this.strict?.add(call);
    for (const subject of call.subjects) {
      const calls = this.bySubject.get(subject) ?? new Set<TrackedCall>();
      this.bySubject.set(subject, calls.add(call));
    }
    return call;
  }

  /** Aborts what the view denies now: calls under these subjects, or any call. */
  abortDenied(view: DenialView, subjects: readonly string[] | null): void {
    if (subjects === null) for (const call of [...this.calls]) this.abortIfDenied(call, view);
    else
      for (const subject of subjects)
        for (const call of [...(this.bySubject.get(subject) ?? [])]) this.abortIfDenied(call, view);
    this.watches.look(view, subjects);
  }

  /**
   * Ends every call. The next receipt waits for all of them; it counts those that no earlier kill accounts for under
   * `killId`, if there is one.
   */
  cut(killId?: string): void {
    for (const call of [...this.calls]) this.cutOne(call, killId ?? null);
  }

  hold(): void {
    this.holding = true;
    for (const call of [...this.calls]) this.holdOne(call);
  }

  release(): void {
    this.holding = false;
    for (const call of [...this.calls]) call.tellHold(false);
  }

  /** @internal */
  holds(call: TrackedCall): boolean {
    return this.holding || !this.options.mayRelay() || this.strict?.holds(call) === true;
  }

  /** What became of the calls that each kill cut; those not settled yet are out of control. */
  counts(): Record<string, InFlightCounts> {
    const counts: Record<string, InFlightCounts> = {};
    for (const [killId, { aborted, completed }] of this.byKill)
      counts[killId] = { aborted, completed, uncontrolled: 0 };
    const running = [...this.unsettled.values()].map(({ killId }) => killId);
    for (const killId of [...running, ...this.draining.values()]) {
      const counted = killId === null ? undefined : counts[killId];
      if (counted !== undefined) counted.uncontrolled += 1;
    }
    return counts;
  }

  /** Resolves once every call aborted so far has settled or has had its time. */
  async settled(): Promise<void> {
    const { clock } = this.options;
    let until = -Infinity;
    for (const aborted of this.unsettled.values()) until = Math.max(until, aborted.until);
    // Calls that later kills abort have a later end, and do not hold up this answer.
    const waitsFor = ({ until: end }: Aborted) => end <= until && end > clock.monotonic();
    while ([...this.unsettled.values()].some(waitsFor)) await this.nextEnd(until);
  }

  /** Resolves when no call is in flight any more, or after that many milliseconds. */
  async drained(withinMs: number): Promise<void> {
    const until = this.options.clock.monotonic() + withinMs;
    while (this.size > 0 && this.options.clock.monotonic() < until) await this.nextEnd(until);
  }

  private async nextEnd(until: number): Promise<void> {
    const { clock, timers } = this.options;
    await new Promise<void>((resolve) => {
      const cancel = timers.after(Math.max(0, Math.ceil(until - clock.monotonic())), resolve);
      this.endListeners.push(() => {
        cancel();
        resolve();
      });
    });
  }

  /** @internal */
  watch({ verified, context }: TrackedCall, tell: () => void): () => void {
    return this.watches.add(verified, context, tell);
  }

  /** @internal */
  ended(call: TrackedCall, outcome: Outcome): void {
    this.forget(call);
    const aborted = this.unsettled.get(call);
    const drained = this.draining.get(call);
    if (drained !== undefined) {
      this.draining.delete(call);
      const counted = this.byKill.get(drained);
      // A lease that lapsed may have cut it before its own end.
      if (counted !== undefined) counted[call.signal.aborted ? outcome : 'completed'] += 1;
      this.unsettled.delete(call);
      this.options.onDrained?.();
    } else if (aborted !== undefined) {
      this.unsettled.delete(call);
      const counted = aborted.killId === null ? undefined : this.byKill.get(aborted.killId);
      if (counted !== undefined) counted[outcome] += 1;
    }
    const listeners = this.endListeners;
    this.endListeners = [];
    for (const listener of listeners) listener();
  }

  private abortIfDenied(call: TrackedCall, view: DenialView): void {
    if (this.isAccountedFor(call)) return;
    const stopped = standingCut(call.verified, call.context, view);
    if (stopped === null) return this.letDrain(call, view);
    this.awaitEnd(call, stopped.denial.killId);
    call.abort(refusal(stopped.code, false, stopped.denial));
  }

  private letDrain(call: TrackedCall, view: DenialView): void {
    if (this.draining.has(call)) return;
    const denied = standingDenial(call.verified, call.context, view);
    if (denied === null) return;
    this.account(denied.denial.killId);
    this.draining.set(call, denied.denial.killId);
  }

  /** One that a hold or a lapse has told to stop, and that still runs, is the next kill's to account for. */
  private isAccountedFor(call: TrackedCall): boolean {
    return (this.unsettled.get(call)?.killId ?? null) !== null;
  }

  private awaitEnd(call: TrackedCall, killId: string | null): void {
    if (this.isAccountedFor(call)) return;
    // Told twice that it must end: its time runs from the first.
    if (killId === null && this.unsettled.has(call)) return;
    if (killId !== null) {
      this.account(killId);
      this.draining.delete(call);
    }
    const grace = this.options.abort === 'none' || call.kind === 'let_through' ? 0 : SETTLE_MS;
    this.unsettled.set(call, { killId, until: this.options.clock.monotonic() + grace });
  }

  private account(killId: string): void {
    if (!this.byKill.has(killId)) this.byKill.set(killId, { aborted: 0, completed: 0 });
    if (this.byKill.size > REMEMBERED_KILLS)
      this.byKill.delete(this.byKill.keys().next().value ?? '');
  }

  private holdOne(call: TrackedCall): void {
    if (call.kind === 'guarded') call.abort(refusal('enforcement_stale', true));
    else call.tellHold(true);
  }

  private cutOne(call: TrackedCall, killId: string | null): void {
    this.awaitEnd(call, killId);
    call.abort(refusal('enforcement_stale', true));
  }

  private forget(call: TrackedCall): void {
    this.calls.delete(call);
    this.strict?.delete(call);
    if (call.kind === 'let_through') this.letThrough -= 1;
    for (const subject of call.subjects) {
      const calls = this.bySubject.get(subject);
      if (calls?.delete(call) && calls.size === 0) this.bySubject.delete(subject);
    }
  }
}

/** One call in flight; see `InFlightCall`. */
export class TrackedCall implements InFlightCall {
  readonly subjects: readonly string[];
  private readonly controller = new AbortController();
  private readonly holdListeners: ((held: boolean) => void)[] = [];
  private toldHeld = false;
  private over = false;

  constructor(
    readonly id: string,
    readonly verified: VerifiedToken,
    readonly context: CallContext,
    readonly kind: CallKind,
    private readonly inFlight: InFlight,
  ) {
    this.subjects = [...verified.lineage.map(([subject]) => subject), ...boundarySubjects(context)];
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  get held(): boolean {
    return this.inFlight.holds(this);
  }

  onHold(listener: (held: boolean) => void): void {
    this.holdListeners.push(listener);
  }

  onKilled(listener: () => void): () => void {
    const reason: unknown = this.signal.reason;
    // The kill came between the admission and this line: nobody will tell of it again.
    if (reason instanceof RefusedError && reason.denied.code === 'agent_revoked') {
      listener();
      return () => undefined;
    }
    return this.inFlight.watch(this, listener);
  }

  finish(): void {
    this.end(this.kind === 'let_through' ? 'completed' : 'aborted');
  }

  /** `completed`: it came to its own end although it had been told to stop. */
  end(outcome: Outcome): void {
    if (this.over) return;
    this.over = true;
    this.inFlight.ended(this, outcome);
  }

  /** @internal */
  abort(denied: Denied): void {
    if (!this.signal.aborted) this.controller.abort(new RefusedError(denied));
  }

  /** @internal */
  tellHold(held: boolean): void {
    if (this.toldHeld === held) return;
    this.toldHeld = held;
    try {
      for (const listener of this.holdListeners) listener(held);
    } catch {
      // A relay that cannot be held must not go on.
      this.abort(refusal('enforcement_stale', true));
    }
  }
}
