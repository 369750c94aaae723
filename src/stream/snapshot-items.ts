import { FLOOR_KEEP_MS, type SnapshotItem } from '@sever/protocol';
import type { SnapshotRead } from './snapshot.store';

/** What is in force, as it travels. */
export function* snapshotItems(
  read: Pick<SnapshotRead, 'epoch' | 'keys' | 'floors' | 'suspensions' | 'lifted' | 'emergencies'>,
): Generator<SnapshotItem> {
  for (const key of read.keys)
    yield ['k', key.purpose, key.kid, wireState(key.state), key.state === 'dead' ? null : key.jwk];
  for (const floor of read.floors)
    yield ['f', floor.subject, floor.floor, floor.flooredAt + FLOOR_KEEP_MS, floor.orderId];
  for (const standing of read.suspensions) {
    // Before the first entry of this epoch, whatever it was in its own.
    const seq = standing.epoch === read.epoch ? standing.seq : 0;
    yield ['s', standing.orderId, standing.subject, standing.level, seq];
  }
  for (const id of read.lifted) yield ['l', id];
  for (const [killId, subject] of read.emergencies) yield ['e', killId, subject];
}

/** A previous key still verifies what it signed. */
function wireState(state: SnapshotRead['keys'][number]['state']): 'next' | 'live' | 'dead' {
  return state === 'previous' ? 'live' : state;
}
