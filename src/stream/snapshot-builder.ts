import { createHash } from 'node:crypto';
import { setImmediate as breathe } from 'node:timers/promises';
import {
  FLOOR_KEEP_MS,
  SNAPSHOT_CHUNK_BYTES,
  type Position,
  type SnapshotItem,
} from '@sever/protocol';
import { type SnapshotStore, type SnapshotRead } from './snapshot.store';

/** Everything in force at one place of a stream, cut into messages; the same for every enforcement point. */
export interface BuiltSnapshot extends Position {
  /** The chain's value at `seq`, base64url. */
  readonly digest: string;
  /** Milliseconds since the Unix epoch on the database's clock. */
  readonly now: number;
  readonly items: number;
  readonly chunks: readonly Buffer[];
  /** SHA-256 of each chunk, base64url. */
  readonly hashes: readonly string[];
}

const CHUNK_HEAD_BYTES = 32;
/** Other work gets its turn after this many items: a snapshot of a million takes a second. */
const ITEMS_AT_ONCE = 5_000;

export class SnapshotBuilder {
  constructor(private readonly store: SnapshotStore) {}

  async build(tenant: string): Promise<BuiltSnapshot> {
    const read = await this.store.read(tenant);
    const chunks: Buffer[] = [];
    let open: string[] = [];
    let bytes = CHUNK_HEAD_BYTES;
    let items = 0;
    const close = (): void => {
      chunks.push(Buffer.from(`{"i":${chunks.length},"items":[${open.join(',')}]}`));
      open = [];
      bytes = CHUNK_HEAD_BYTES;
    };
    for (const item of itemsOf(read)) {
      const text = JSON.stringify(item);
      const size = Buffer.byteLength(text) + 1;
      if (bytes + size > SNAPSHOT_CHUNK_BYTES && open.length > 0) close();
      open.push(text);
      bytes += size;
      items += 1;
      if (items % ITEMS_AT_ONCE === 0) await breathe();
    }
    if (open.length > 0) close();
    const { epoch, seq, digest, now } = read;
    return { epoch, seq, digest, now, items, chunks, hashes: chunks.map(sha256) };
  }
}

function* itemsOf(read: SnapshotRead): Generator<SnapshotItem> {
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

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('base64url');
}
