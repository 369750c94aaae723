import type { Effect } from './machine-events';

/** A strict enforcement point whose held streams get no lease for this long cuts them. */
export const HOLD_MS = 30_000;

/** What becomes of work in flight while a strict enforcement point has no lease: held at once, cut in the end. */
export class LapseWatch {
  private cutAt: number | null = null;
  private wasCut = false;

  get holding(): boolean {
    return this.cutAt !== null;
  }

  /** @param until monotonic end of the last lease; `null` when it was voided */
  look(valid: boolean, until: number | null, mono: number): Effect[] {
    if (valid) {
      const effects: Effect[] = this.holding ? [{ type: 'release' }] : [];
      this.cutAt = null;
      this.wasCut = false;
      return effects;
    }
    const effects: Effect[] = this.holding ? [] : [{ type: 'hold' }];
    // Counted from the end of the lease: a process that was stopped meanwhile gets no second grace.
    this.cutAt ??= Math.min(until ?? mono, mono) + HOLD_MS;
    if (mono >= this.cutAt && !this.wasCut) {
      this.wasCut = true;
      effects.push({ type: 'cut', because: 'lapse' });
    }
    return effects;
  }

  nextAt(until: number | null): number {
    if (this.cutAt === null) return until ?? -Infinity;
    return this.wasCut ? Infinity : this.cutAt;
  }
}
