import { darkAfterMs, type Lineage } from '@sever/protocol';
import type { Violation } from './checker';
import type {
  CommitEvent,
  ContainedEvent,
  CredentialEvent,
  DecisionEvent,
  HistoryEvent,
} from './events';
import { covers, nameOf, type Orders } from './orders';
import { Reached } from './reached';

const NS_PER_MS = 1_000_000;
const DENIED_BY_ORDER = new Set(['agent_revoked', 'agent_suspended']);

/** I1, the meaning of I3, I4, I7 as decisions show it, I15, and no false denial. `events` are sorted by `at`. */
export function checkDecisions(events: readonly HistoryEvent[], orders: Orders): Violation[] {
  const lineages = lineagesOf(events);
  const containedAt = containedMoments(events);
  const said = new Reached();
  const shown = new Reached();
  const violations: Violation[] = [];
  const fail = (invariant: Violation['invariant'], by: DecisionEvent, detail: string): void => {
    const who = `${by.point} (${by.boot}, ${by.mode})`;
    violations.push({ invariant, at: by.at, detail: `${who} ${detail}` });
  };
  for (const event of events) {
    if (event.kind === 'receipt') said.add(event.boot, event.position, event.at);
    if (event.kind === 'apply') shown.add(event.boot, event.position, event.until);
    if (event.kind !== 'admit' && event.kind !== 'deny') continue;
    const lineage = lineages.get(event.credential);
    if (lineage === undefined) continue;
    if (event.kind === 'deny') {
      if (DENIED_BY_ORDER.has(event.code ?? '') && !orders.hasReason(lineage, event.until))
        fail('no false denial', event, `refuses ${event.credential} as ${event.code}: unordered`);
      continue;
    }
    if (event.mode === 'strict' && event.stale)
      fail('I15', event, `admits ${event.credential} while stale`);
    const receipt = said.by(event.boot, event.at);
    const place = shown.by(event.boot, event.at);
    for (const commit of orders.against(lineage, event.until)) {
      const what = `admits ${event.credential}, stopped by ${commit.order} at ${nameOf(commit.position)}`;
      if (receipt !== undefined && covers(receipt, commit))
        fail('I1', event, `${what}, after its receipt for ${nameOf(receipt)}`);
      if (place !== undefined && covers(place, commit))
        fail('I7', event, `${what}, though it said that it had applied that`);
      if ((containedAt.get(commit.order) ?? event.at) < event.at)
        fail('I3', event, `${what}, though that was reported as contained`);
      if (event.mode === 'strict' && event.at > boundOf(commit))
        fail('I4', event, `${what}, ${msAfter(commit, event)} ms after the commit`);
    }
  }
  return violations;
}

function boundOf({ at, leaseMs }: CommitEvent): bigint {
  return at + BigInt(Math.ceil(darkAfterMs(leaseMs) * NS_PER_MS));
}

function msAfter(commit: CommitEvent, { at }: DecisionEvent): number {
  return Math.round(Number(at - commit.at) / NS_PER_MS);
}

function lineagesOf(events: readonly HistoryEvent[]): Map<string, Lineage> {
  return new Map(
    events
      .filter((event): event is CredentialEvent => event.kind === 'credential')
      .map(({ credential, lineage }) => [credential, lineage]),
  );
}

function containedMoments(events: readonly HistoryEvent[]): Map<string, bigint> {
  const moments = new Map<string, bigint>();
  const replies = events.filter((event): event is ContainedEvent => event.kind === 'contained');
  for (const { order, until } of replies) {
    const present = moments.get(order);
    if (present === undefined || until < present) moments.set(order, until);
  }
  return moments;
}
