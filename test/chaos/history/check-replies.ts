import { comparePositions, darkAfterMs } from '@sever/protocol';
import type { Violation } from './checker';
import type { CommitEvent, ContainedEvent, HistoryEvent, ReceiptEvent } from './events';
import { nameOf } from './orders';

/** I3 to the letter: of everybody whom a reply counts as done there is a receipt, or a reason why it cannot admit. */
export function checkReplies(events: readonly HistoryEvent[]): Violation[] {
  const receipts = group(events, (event) => (event.kind === 'receipt' ? event.boot : null));
  const ofPoint = group(events, (event) => (event.kind === 'apply' ? event.point : null));
  const leaves = new Map(
    events.flatMap((event) => (event.kind === 'leave' ? [[event.boot, event.at] as const] : [])),
  );
  const commits = new Map(
    events.flatMap((event) =>
      event.kind === 'commit' ? [[nameOf(event.position), event] as const] : [],
    ),
  );
  const violations: Violation[] = [];
  for (const reply of events) {
    if (reply.kind !== 'contained') continue;
    const commit = commits.get(nameOf(reply.position));
    for (const { point, boot, status, mode } of reply.by) {
      const said = (receipts.get(boot) ?? []) as ReceiptEvent[];
      const given = said.some(
        ({ at, position }) => at <= reply.until && comparePositions(position, reply.position) >= 0,
      );
      const left = (leaves.get(boot) ?? reply.until + 1n) <= reply.until;
      const replaced = (ofPoint.get(point) ?? []).some(
        (event) => event.kind === 'apply' && event.boot !== boot && event.at <= reply.until,
      );
      const lapsed = mode === 'strict' && isPast(commit, reply);
      const holds = status === 'enforced' ? given : given || left || replaced || lapsed;
      if (!holds)
        violations.push({
          invariant: 'I3',
          at: reply.until,
          detail: `${reply.order} is reported as contained, with ${point} (${boot}, ${mode}) as ${status}`,
        });
    }
  }
  return violations;
}

/** The commit's moment is its latest; the bound itself may have been reckoned from a little before. */
const COMMIT_MARGIN_NS = 100_000_000n;

function isPast(commit: CommitEvent | undefined, { until }: ContainedEvent): boolean {
  if (commit === undefined) return false;
  const boundNs = BigInt(Math.floor(darkAfterMs(commit.leaseMs) * 1_000_000));
  return until >= commit.at + boundNs - COMMIT_MARGIN_NS;
}

function group(
  events: readonly HistoryEvent[],
  keyOf: (event: HistoryEvent) => string | null,
): Map<string, HistoryEvent[]> {
  const groups = new Map<string, HistoryEvent[]>();
  for (const event of events) {
    const key = keyOf(event);
    if (key === null) continue;
    const present = groups.get(key);
    if (present === undefined) groups.set(key, [event]);
    else present.push(event);
  }
  return groups;
}
