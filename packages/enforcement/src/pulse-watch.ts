import type { Pulse } from '@sever/protocol';

/** A head that was not reached after this long is asked for; until then its entry is most likely on its way. */
const BEHIND_MS = 200;
const REMEMBERED_SOURCES = 256;

/** Tells new pulses from replayed ones, and notices that an entry is missing. */
export class PulseWatch {
  private readonly counters = new Map<string, number>();
  private behind: { readonly head: number; readonly since: number } | null = null;

  /** `n` grows for each source. */
  isReplayed(pulse: Pulse): boolean {
    const last = this.counters.get(pulse.source);
    return last !== undefined && pulse.n <= last;
  }

  remember(pulse: Pulse): void {
    this.counters.delete(pulse.source);
    this.counters.set(pulse.source, pulse.n);
    if (this.counters.size > REMEMBERED_SOURCES)
      this.counters.delete(this.counters.keys().next().value ?? '');
  }

  sawHead(head: number, applied: number, mono: number): void {
    if (head > applied)
      this.behind = {
        head: Math.max(head, this.behind?.head ?? 0),
        since: this.behind?.since ?? mono,
      };
  }

  reached(applied: number): void {
    if (this.behind !== null && applied >= this.behind.head) this.behind = null;
  }

  forget(): void {
    this.behind = null;
  }

  /** The head that has been missing for too long, once. */
  takeMissing(mono: number): number | null {
    if (this.behind === null || mono < this.nextAt) return null;
    const { head } = this.behind;
    this.behind = null;
    return head;
  }

  get nextAt(): number {
    return this.behind === null ? Infinity : this.behind.since + BEHIND_MS;
  }
}
