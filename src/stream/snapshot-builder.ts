import { createHash } from 'node:crypto';
import { setImmediate as breathe } from 'node:timers/promises';
import { SNAPSHOT_CHUNK_BYTES, type Position } from '@sever/protocol';
import { snapshotItems } from './snapshot-items';
import { type SnapshotStore } from './snapshot.store';

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
    for (const item of snapshotItems(read)) {
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

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('base64url');
}
