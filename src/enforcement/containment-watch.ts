import {
  comparePositions,
  enforcementStatus,
  type Boot,
  type EnforcementStatus,
} from '@sever/protocol';
import type { Subscription } from 'rxjs';
import type { BootChange, EnforcementEvents, ReceiptApplied } from '../stream/enforcement-events';
import type { OrderRef, RosterBoot } from './roster.store';

/** Another replica may have stored what this one did not hear. */
const LOOK_AGAIN_MS = 1_000;

export interface WatchPorts {
  /** The order's roster as the database has it. */
  read(): Promise<readonly RosterBoot[]>;
  readonly events: EnforcementEvents;
  monotonic(): number;
  /** On the same clock: when the order's bound has passed. */
  readonly boundAt: number;
}

type WatchedBoot = { -readonly [K in keyof Boot]: Boot[K] };

/**
 * Follows one order until it is contained. It listens first, then reads the roster, then acts, so that a receipt that
 * comes in between is seen one way or the other. The roster itself stands still: it was fixed at the commit.
 */
export class ContainmentWatch {
  private boots: Map<string, WatchedBoot> | null = null;
  private readonly missed: (() => void)[] = [];
  private readonly subscriptions: Subscription[] = [];
  private readonly timers = new Set<NodeJS.Timeout>();
  private resolve: (() => void) | undefined;
  private over = false;

  constructor(
    private readonly tenant: string,
    private readonly order: OrderRef,
    private readonly ports: WatchPorts,
  ) {}

  /** Resolves after `timeoutMs` at the latest. Fails only if the roster cannot be read at first. */
  async done(timeoutMs: number): Promise<void> {
    const over = new Promise<void>((resolve) => (this.resolve = resolve));
    this.after(timeoutMs, () => this.resolve?.());
    const { receipts, boots } = this.ports.events;
    this.subscriptions.push(
      receipts.subscribe((receipt) => this.heard(receipt, () => this.onReceipt(receipt))),
      boots.subscribe((change) => this.heard(change, () => this.onBoot(change))),
    );
    try {
      await Promise.race([this.look(), over]);
      await over;
    } finally {
      this.over = true;
      for (const subscription of this.subscriptions) subscription.unsubscribe();
      for (const timer of this.timers) clearTimeout(timer);
    }
  }

  /** Whoever waits is answered now. */
  end(): void {
    this.resolve?.();
  }

  private async look(): Promise<void> {
    const roster = await this.ports.read();
    this.boots = new Map(roster.map((boot) => [boot.bootId, this.watched(boot)]));
    for (const apply of this.missed.splice(0)) apply();
    this.evaluate();
    const bound = this.ports.boundAt - this.ports.monotonic();
    if (bound > 0) this.after(bound, () => this.evaluate());
    this.lookAgain();
  }

  private lookAgain(): void {
    this.after(LOOK_AGAIN_MS, () => {
      const reading = this.ports.read().then((roster) => {
        const heard = this.boots;
        this.boots = new Map(
          roster.map((boot) => [boot.bootId, latest(this.watched(boot), heard?.get(boot.bootId))]),
        );
        this.evaluate();
      });
      // The database may be away for a while; what is known stays known until it is back.
      void reading.catch(() => undefined).then(() => this.lookAgain());
    });
  }

  private heard(event: { readonly tenant: string }, apply: () => void): void {
    if (event.tenant !== this.tenant) return;
    if (this.boots === null) this.missed.push(apply);
    else {
      apply();
      this.evaluate();
    }
  }

  private onReceipt({ bootId, epoch, applied, nacks }: ReceiptApplied): void {
    const boot = this.boots?.get(bootId);
    if (boot === undefined) return;
    const position = { epoch, seq: applied };
    if (boot.applied === undefined || comparePositions(position, boot.applied) > 0)
      boot.applied = position;
    if (epoch === this.order.epoch && nacks.some(({ seq }) => this.isMine(seq))) boot.nacked = true;
  }

  private onBoot({ bootId, change }: BootChange): void {
    const boot = this.boots?.get(bootId);
    if (boot !== undefined && change === 'left') boot.left = true;
  }

  /** Contained, or nobody is left of whom anything else can be expected. An empty roster stays empty. */
  private evaluate(): void {
    const boundPassed = this.ports.monotonic() >= this.ports.boundAt;
    const position = { epoch: this.order.epoch, seq: this.order.lastSeq };
    const open: readonly EnforcementStatus[] = ['pending', 'unknown'];
    for (const boot of this.boots?.values() ?? [])
      if (open.includes(enforcementStatus(boot, position, boundPassed))) return;
    this.resolve?.();
  }

  private watched(boot: RosterBoot): WatchedBoot {
    const { receipt, behind, mode, since, until, left } = boot;
    const nacked =
      receipt?.epoch === this.order.epoch && receipt.nacks.some(({ seq }) => this.isMine(seq));
    return { mode, since, until, left, applied: receipt ?? behind ?? undefined, nacked };
  }

  private isMine(seq: number): boolean {
    return (this.order.firstSeq ?? this.order.lastSeq) <= seq && seq <= this.order.lastSeq;
  }

  private after(ms: number, act: () => void): void {
    if (this.over) return;
    const timer = setTimeout(() => {
      this.timers.delete(timer);
      act();
    }, ms);
    this.timers.add(timer);
  }
}

/** What was read may be older than what was heard while it was being read; nothing here is ever taken back. */
function latest(read: WatchedBoot, heard: WatchedBoot | undefined): WatchedBoot {
  if (heard === undefined) return read;
  const [a, b] = [read.applied, heard.applied];
  const applied = a && b ? (comparePositions(a, b) < 0 ? b : a) : (a ?? b);
  return { ...read, applied, left: read.left || heard.left, nacked: read.nacked || heard.nacked };
}
