import type { DenialView, Emergency, SnapshotItem } from '@sever/protocol';
import type { KeptEmergencies, KeptEmergency, KeptHalt } from './kept-emergencies';

/** How long the control plane lets an emergency stand; what a snapshot lists ends no later. */
const EMERGENCY_LIFE_MS = 24 * 3_600_000;
const REMEMBERED_RESOLVED = 10_000;
const REMEMBERED_ORDERS = 10_000;

interface Page {
  readonly open: Set<string>;
  readonly closed: Set<string>;
  readonly notAfter: number;
  halt?: KeptHalt | undefined;
}

/**
 * Emergencies and halts, from the first word of them until `not_after`. The view denies; this book knows which order
 * may still open a denial, and what a restart must find again. An id that is over stays in the book, so that a late or
 * replayed announcement opens nothing.
 */
export class EmergencyBook {
  private readonly pages = new Map<string, Page>();
  private readonly resolved = new Map<string, number>();
  /** `kill_id subject` of entries that were applied, whichever order a floor names in the end. */
  private readonly inForce = new Set<string>();
  private nextEnd = Infinity;
  private changed = false;

  constructor(
    private readonly view: DenialView,
    kept?: KeptEmergencies,
  ) {
    for (const { killId, notAfter } of kept?.resolved ?? []) this.resolve(killId, notAfter);
    for (const { killId, open, closed, notAfter, halt } of kept?.open ?? []) {
      const page = { open: new Set(open), closed: new Set(closed), notAfter, halt };
      this.pages.set(killId, page);
      this.endsAt(notAfter);
      for (const subject of open) view.stopInEmergency(killId, subject);
    }
    this.changed = false;
  }

  isOpen(killId: string): boolean {
    return this.pages.has(killId);
  }

  isResolved(killId: string): boolean {
    return this.resolved.has(killId);
  }

  /** Denies what the announcement names, except what is over or in force already. @returns what is denied anew */
  announce({ kill_id: killId, subjects, not_after: notAfter }: Announcement): string[] {
    if (this.resolved.has(killId)) return [];
    const wanted = subjects.filter((subject) => this.mayOpen(killId, subject));
    for (const subject of wanted) this.view.stopInEmergency(killId, subject);
    const opened = wanted.filter((subject) => this.view.isStopped(killId, subject));
    // Lifted before it was heard of: that is to be remembered as long as any other end.
    if (opened.length === 0 && wanted.length > 0) this.resolve(killId, notAfter);
    if (opened.length === 0) return [];
    const page = this.pages.get(killId) ?? { open: new Set(), closed: new Set(), notAfter };
    this.pages.set(killId, page);
    this.endsAt(page.notAfter);
    for (const subject of opened) page.open.add(subject);
    this.changed = true;
    return opened;
  }

  /** Remembers the signed order itself, to be shown to the control plane. */
  signed(killId: string, halt: KeptHalt): void {
    const page = this.pages.get(killId);
    if (page === undefined || page.halt !== undefined) return;
    page.halt = halt;
    this.changed = true;
  }

  /** What a snapshot has opened in the view; it does not say until when. */
  listed(items: readonly SnapshotItem[], now: number): void {
    for (const item of items) {
      if (item[0] !== 'e' || !this.view.isStopped(item[1], item[2])) continue;
      const [, killId, subject] = item;
      const notAfter = now + EMERGENCY_LIFE_MS;
      const page = this.pages.get(killId) ?? { open: new Set(), closed: new Set(), notAfter };
      if (page.open.has(subject)) continue;
      this.pages.set(killId, page);
      this.endsAt(page.notAfter);
      page.open.add(subject);
      this.changed = true;
    }
  }

  mayOpen(killId: string, subject: string): boolean {
    if (this.resolved.has(killId) || this.inForce.has(`${killId} ${subject}`)) return false;
    const page = this.pages.get(killId);
    if (page?.open.has(subject) || page?.closed.has(subject)) return false;
    return !this.view.isInForce(killId, subject);
  }

  /** An entry of that order is in force for the subject: its emergency is over there, also one that comes later. */
  applied(killId: string, subject: string): void {
    this.view.closeEmergency(killId, subject);
    this.inForce.add(`${killId} ${subject}`);
    if (this.inForce.size > REMEMBERED_ORDERS)
      this.inForce.delete(this.inForce.values().next().value ?? '');
  }

  /** Any entry of an order, whichever subject it names, shows that the control plane has it. */
  committed(killId: string): void {
    const page = this.pages.get(killId);
    if (page?.halt === undefined || page.halt.committed) return;
    page.halt = { ...page.halt, committed: true };
    this.changed = true;
  }

  /** Takes over what entries, lifts and snapshots have done to the view. */
  reconcile(): void {
    for (const [killId, page] of this.pages) {
      for (const subject of page.open) {
        const inForce = this.view.isInForce(killId, subject);
        if (inForce) this.view.closeEmergency(killId, subject);
        if (inForce) this.committed(killId);
        if (this.view.isStopped(killId, subject)) continue;
        page.open.delete(subject);
        page.closed.add(subject);
        this.changed = true;
      }
      if (page.open.size > 0) continue;
      this.pages.delete(killId);
      this.resolve(killId, page.notAfter);
    }
  }

  /** Forgets what is past its `not_after`, by the database's clock as the control plane signed it. */
  forget(signedNow: number): void {
    if (signedNow <= this.nextEnd) return;
    this.nextEnd = Infinity;
    for (const [killId, { open, notAfter }] of this.pages) {
      if (notAfter >= signedNow) this.endsAt(notAfter);
      else {
        for (const subject of open) this.view.closeEmergency(killId, subject);
        this.pages.delete(killId);
        this.changed = true;
      }
    }
    for (const [killId, notAfter] of this.resolved)
      if (notAfter >= signedNow) this.endsAt(notAfter);
      else {
        this.resolved.delete(killId);
        this.changed = true;
      }
  }

  /** Halts in force that the control plane is not known to have. */
  *unreported(): IterableIterator<string> {
    for (const { halt } of this.pages.values()) if (halt && !halt.committed) yield halt.jws;
  }

  /** Everything, once after each change; `null` while there is nothing new to write down. */
  takeChange(signedNow: number): KeptEmergencies | null {
    if (!this.changed) return null;
    this.changed = false;
    return {
      v: 1,
      now: signedNow,
      open: this.entries(),
      resolved: [...this.resolved].map(([killId, notAfter]) => ({ killId, notAfter })),
    };
  }

  entries(): KeptEmergency[] {
    return [...this.pages].map(([killId, { open, closed, notAfter, halt }]) => ({
      ...{ killId, open: [...open], closed: [...closed], notAfter },
      ...(halt && { halt }),
    }));
  }

  private resolve(killId: string, notAfter: number): void {
    this.resolved.set(killId, notAfter);
    this.endsAt(notAfter);
    this.changed = true;
    if (this.resolved.size > REMEMBERED_RESOLVED)
      this.resolved.delete(this.resolved.keys().next().value ?? '');
  }

  private endsAt(notAfter: number): void {
    this.nextEnd = Math.min(this.nextEnd, notAfter);
  }
}

type Announcement = Pick<Emergency, 'kill_id' | 'subjects' | 'not_after'>;
