import { checkDecisions } from './check-decisions';
import { checkReplies } from './check-replies';
import { checkStream } from './check-stream';
import type { HistoryEvent } from './events';
import { Orders } from './orders';

/** What a history shows to be false. */
export interface Violation {
  readonly invariant: 'I1' | 'I3' | 'I4' | 'I5' | 'I7' | 'I15' | 'no false denial';
  readonly detail: string;
  /** `process.hrtime` of what shows it. */
  readonly at: bigint;
}

/**
 * Reads a history and says what does not hold. It never accuses on the strength of an order that is not certain: of
 * two events it takes the first to have happened by its end, and the second not before its beginning.
 *
 * - I1: who gave a receipt for a kill admits nothing of it any more.
 * - I3: a reply that says contained names only those who gave a receipt, or cannot admit any more; and nobody does.
 * - I4: a strict enforcement point admits nothing dead later than the longest lease and its margin.
 * - I5: whoever says where it is holds the same digest as the database there.
 * - I7: nobody goes back, and what a receipt says is what decisions are taken on.
 * - I15: a strict enforcement point admits nothing while stale.
 * - No false denial: who was refused as revoked or suspended had been ordered to be.
 */
export function check(events: readonly HistoryEvent[]): Violation[] {
  const sorted = [...events].sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  const orders = new Orders(sorted);
  return [
    ...checkDecisions(sorted, orders),
    ...checkReplies(sorted),
    ...checkStream(sorted, orders),
  ].sort((a, b) => (a.at < b.at ? -1 : 1));
}
