import { comparePositions, type Position } from '@sever/protocol';
import { Subject } from 'rxjs';
import type { Replica } from './replica';

/** Longer than the longest lease and its margin (661 s): what is older than that has passed every bound. */
const KEPT_MS = 15 * 60_000;
/** Sightings this close together share one mark, the later of them. */
const GRAIN_MS = 50;

interface Mark {
  position: Position;
  at: number;
  readonly openedAt: number;
}

/**
 * When this replica first saw a committed place of a stream, on its own monotonic clock. "Provably dark" is reckoned
 * from there: the commit was earlier, so the lease that could outlive it is older still. Rows from before this process
 * count from its first look.
 */
export class Sightings {
  /** A tenant's stream reaches further than this replica knew. */
  readonly grown = new Subject<{ readonly tenant: string; readonly position: Position }>();
  private readonly tenants = new Map<string, Mark[]>();

  constructor(private readonly replica: Replica) {}

  /** Call it only with a place that is known to be committed. */
  see(tenant: string, position: Position): void {
    const now = this.replica.monotonic();
    const marks = this.tenants.get(tenant) ?? [];
    this.tenants.set(tenant, marks);
    const last = marks.at(-1);
    if (last !== undefined && comparePositions(position, last.position) <= 0) return;
    this.mark(marks, last, position, now);
    this.grown.next({ tenant, position });
  }

  /** Sees the place now if it is new. */
  seenAt(tenant: string, position: Position): number {
    this.see(tenant, position);
    const marks = this.tenants.get(tenant) ?? [];
    let from = 0;
    let to = marks.length - 1;
    while (from < to) {
      const middle = (from + to) >> 1;
      const mark = marks[middle] as Mark;
      if (comparePositions(mark.position, position) >= 0) to = middle;
      else from = middle + 1;
    }
    return marks[from]?.at ?? this.replica.monotonic();
  }

  private mark(marks: Mark[], last: Mark | undefined, position: Position, now: number): void {
    // Later, not earlier: a mark that moves forward can only delay the word "dark".
    if (last !== undefined && now - last.openedAt < GRAIN_MS) {
      last.position = position;
      last.at = now;
      return;
    }
    marks.push({ position, at: now, openedAt: now });
    while ((marks[1]?.at ?? now) < now - KEPT_MS) marks.shift();
  }
}
