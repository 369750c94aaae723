import { comparePositions, type Position } from './position';

/** What an enforcement point does without a valid lease: deny, or decide on the last view and flag it. */
export type Mode = 'strict' | 'best_effort';

/** Where an enforcement point stands with regard to one kill. Unknown is never reported as done. */
export type EnforcementStatus = 'enforced' | 'dark' | 'pending' | 'nack' | 'unknown';

/** One process of an enforcement point, as the roster remembers it. */
export interface Boot {
  readonly mode: Mode;
  /** Head of the stream when the boot entered, stored before its first snapshot was read. */
  readonly since: Position;
  /** Head of the stream when the boot was retired; absent while it lives. */
  readonly until?: Position | undefined;
  /** It signed that it refuses everything, or its successor proved that it is gone. */
  readonly left: boolean;
  /** The newest position that a verified receipt of this boot covers. */
  readonly applied?: Position | undefined;
  /** The kill's own sequence number is among the entries that this boot could not apply. */
  readonly nacked: boolean;
}

/**
 * A boot belongs to a kill's roster when it entered before the kill and was not retired before it. One that entered
 * later read a snapshot that holds the kill already. The roster is derived, never stored.
 */
export function isOnRoster(boot: Pick<Boot, 'since' | 'until'>, kill: Position): boolean {
  return (
    comparePositions(boot.since, kill) < 0 &&
    (boot.until === undefined || comparePositions(kill, boot.until) <= 0)
  );
}

/**
 * @param boundPassed the longest lease that can have been in force at the commit, and its margin, have run out since
 *   this replica first saw the committed kill, on its own monotonic clock.
 */
export function enforcementStatus(
  boot: Boot,
  kill: Position,
  boundPassed: boolean,
): EnforcementStatus {
  if (boot.nacked) return 'nack';
  if (boot.applied !== undefined && comparePositions(boot.applied, kill) >= 0) return 'enforced';
  if (boot.left) return 'dark';
  if (!boundPassed) return 'pending';
  return boot.mode === 'strict' ? 'dark' : 'unknown';
}

export type ContainmentState = 'committed' | 'partial' | 'contained';

/** Contained = at least one enforcement point, and every one of them enforces the kill or is provably dark. */
export function containmentState(statuses: readonly EnforcementStatus[]): ContainmentState {
  const done = statuses.filter((status) => status === 'enforced' || status === 'dark').length;
  if (statuses.length > 0 && done === statuses.length) return 'contained';
  return done > 0 ? 'partial' : 'committed';
}

/** How long after its commit a kill may still be admitted by a strict enforcement point: lease and clock-rate margin. */
export function darkAfterMs(leaseValidMs: number): number {
  return leaseValidMs + 1_000 + leaseValidMs / 10;
}
