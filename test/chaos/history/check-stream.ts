import { comparePositions, type Position } from '@sever/protocol';
import type { Violation } from './checker';
import type { ApplyEvent, HistoryEvent, ReceiptEvent } from './events';
import { nameOf, type Orders } from './orders';
import { Reached } from './reached';

/** I5 and I7. `events` are sorted by `at`. */
export function checkStream(events: readonly HistoryEvent[], orders: Orders): Violation[] {
  const violations: Violation[] = [];
  const receipts = new Map<string, Position>();
  const reached = new Reached();
  for (const event of events) {
    if (event.kind === 'receipt' || event.kind === 'lease_request')
      violations.push(...otherDigest(event, orders));
    if (event.kind === 'receipt') {
      const before = event.road === 'nats' ? receipts.get(event.boot) : undefined;
      if (before !== undefined && comparePositions(event.position, before) < 0)
        violations.push(wentBack(event, before, 'receipt'));
      if (event.road === 'nats') receipts.set(event.boot, event.position);
      // When it passed here it had been sent, and what it says had to be true.
      reached.add(event.boot, event.position, event.at);
    }
    if (event.kind !== 'apply') continue;
    const known = reached.by(event.boot, event.at);
    if (known !== undefined && comparePositions(event.position, known) < 0)
      violations.push(wentBack(event, known, 'state'));
    reached.add(event.boot, event.position, event.until);
  }
  return violations;
}

function otherDigest(event: ReceiptEvent, orders: Orders): Violation[] {
  const { position, digest, point, boot, at } = event;
  const truth = orders.digests.get(nameOf(position));
  if (truth === undefined || truth === digest) return [];
  const detail = `${point} (${boot}) holds another digest at ${nameOf(position)}`;
  return [{ invariant: 'I5', at, detail }];
}

function wentBack(event: ApplyEvent | ReceiptEvent, from: Position, what: string): Violation {
  const { point, boot, position, at } = event;
  const detail = `${point} (${boot}) went back from ${nameOf(from)} to ${nameOf(position)} in its ${what}`;
  return { invariant: 'I7', at, detail };
}
