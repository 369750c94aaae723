import { comparePositions, levelOf, stops, type Lineage, type Position } from '@sever/protocol';
import type { CommitEvent, HistoryEvent } from './events';

/** One committed denial, with the end that a lift may have set to it. */
export interface Denial {
  readonly commit: CommitEvent;
  readonly liftedAt: bigint | null;
}

/** What was ordered and committed, to be asked which of it stops a lineage. */
export class Orders {
  private readonly bySubject = new Map<string, Denial[]>();
  private readonly asked = new Map<string, bigint>();
  /** The chain's value after each entry, by `epoch.seq`. */
  readonly digests = new Map<string, string>();

  constructor(events: readonly HistoryEvent[]) {
    const lifts = new Map<string, bigint>();
    const commits = events.filter((event): event is CommitEvent => event.kind === 'commit');
    for (const { does, subject, at, position, digest } of commits) {
      if (does === 'lift') lifts.set(subject, earlier(lifts.get(subject), at));
      this.digests.set(nameOf(position), digest);
    }
    for (const commit of commits) {
      if (commit.does === 'lift') continue;
      const liftedAt = commit.does === 'floor' ? null : (lifts.get(commit.order) ?? null);
      const denials = this.bySubject.get(commit.subject) ?? [];
      this.bySubject.set(commit.subject, [...denials, { commit, liftedAt }]);
    }
    for (const event of events)
      if (event.kind === 'ask')
        this.asked.set(event.subject, earlier(this.asked.get(event.subject), event.at));
  }

  /** Denials that an admission of this lineage, decided before `until`, must respect once it is bound to. */
  against(lineage: Lineage, until: bigint): CommitEvent[] {
    return lineage.flatMap(([subject, generation]) =>
      (this.bySubject.get(subject) ?? [])
        .filter(({ commit, liftedAt }) => mustStop(commit, generation) && !over(liftedAt, until))
        .map(({ commit }) => commit),
    );
  }

  /** Is there anything that can have stopped this lineage before `until`? */
  hasReason(lineage: Lineage, until: bigint): boolean {
    return lineage.some(([subject, generation]) => {
      if (over(this.asked.get(subject) ?? null, until)) return true;
      return (this.bySubject.get(subject) ?? []).some(
        ({ commit }) =>
          commit.at <= until && (commit.does !== 'floor' || generation < (commit.floor ?? 0)),
      );
    });
  }
}

export function covers(position: Position, commit: Pick<CommitEvent, 'position'>): boolean {
  return comparePositions(position, commit.position) >= 0;
}

export function nameOf({ epoch, seq }: Position): string {
  return `${epoch}.${seq}`;
}

function mustStop({ does, floor, level }: CommitEvent, generation: number): boolean {
  if (does === 'floor') return generation < (floor ?? 0);
  return does === 'suspend' && stops(levelOf(level), undefined);
}

function over(moment: bigint | null, until: bigint): boolean {
  return moment !== null && moment <= until;
}

function earlier(a: bigint | undefined, b: bigint): bigint {
  return a === undefined || b < a ? b : a;
}
