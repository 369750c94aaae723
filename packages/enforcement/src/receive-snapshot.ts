import { createHash } from 'node:crypto';
import {
  MAX_MESSAGE_BYTES,
  SnapshotChunk,
  type SnapshotItem,
  type SnapshotManifest,
} from '@sever/protocol';
import type { Intake } from './intake';
import type { SnapshotReplies } from './transport';

const MANIFEST_WAIT_MS = 2_000;
const CHUNK_WAIT_MS = 2_000;
const OPENING_BRACE = 0x7b;

export interface ReceivedSnapshot {
  readonly manifest: SnapshotManifest;
  readonly items: readonly SnapshotItem[];
  /** The manifest as it was signed. */
  readonly jws: string;
}

/**
 * Collects one snapshot: the signed manifest, then the chunks that hash to their places in it. It is taken whole or
 * not at all.
 *
 * A second replica may answer the same request a little later; its manifest is set aside, and chunks that only its
 * manifest names are passed over.
 *
 * @throws when it was refused, tampered with or incomplete
 */
export async function receiveSnapshot(
  replies: SnapshotReplies,
  intake: Intake,
  nonce: string,
): Promise<ReceivedSnapshot> {
  try {
    const { manifest, jws } = await firstManifest(replies, intake, nonce);
    const items = await chunksOf(manifest, replies, intake, nonce);
    return { manifest, items, jws };
  } finally {
    replies.close();
  }
}

async function firstManifest(
  replies: SnapshotReplies,
  intake: Intake,
  nonce: string,
): Promise<{ manifest: SnapshotManifest; jws: string }> {
  for (;;) {
    const bytes = await replies.next(MANIFEST_WAIT_MS);
    if (bytes[0] === OPENING_BRACE) {
      const refused = intake.refusal(bytes);
      throw new Error(
        refused === null
          ? 'a chunk came before its manifest'
          : `${refused.code}: ${refused.detail}`,
      );
    }
    const manifest = await manifestIn(bytes, intake, nonce);
    if (manifest !== null) return { manifest, jws: Buffer.from(bytes).toString('latin1') };
  }
}

async function manifestIn(
  bytes: Uint8Array,
  intake: Intake,
  nonce: string,
): Promise<SnapshotManifest | null> {
  const text = intake.text(bytes);
  const manifest = text === null ? null : await intake.manifest(text);
  if (manifest !== null && manifest.nonce !== nonce) return intake.reject('replayed_snapshot');
  return manifest;
}

async function chunksOf(
  manifest: SnapshotManifest,
  replies: SnapshotReplies,
  intake: Intake,
  nonce: string,
): Promise<SnapshotItem[]> {
  const missing = new Map(manifest.chunks.map((digest, place) => [digest, place]));
  if (missing.size !== manifest.chunks.length) throw new Error('the manifest names a chunk twice');
  const received = new Map<number, readonly SnapshotItem[]>();
  const ofOthers = new Set<string>();
  while (received.size < manifest.chunks.length) {
    const bytes = await replies.next(CHUNK_WAIT_MS);
    if (bytes[0] !== OPENING_BRACE) {
      const other = await manifestIn(bytes, intake, nonce);
      for (const digest of other?.chunks ?? []) ofOthers.add(digest);
      continue;
    }
    const digest = createHash('sha256').update(bytes).digest('base64url');
    const place = missing.get(digest);
    if (place !== undefined) received.set(place, itemsOf(bytes, place, intake));
    else if (!ofOthers.has(digest)) {
      intake.reject('tampered_chunk');
      throw new Error('a chunk does not hash to its place in the manifest');
    }
  }
  const items = manifest.chunks.flatMap((_, place) => received.get(place) ?? []);
  if (items.length !== manifest.items) throw new Error('the manifest counts other items');
  return items;
}

function itemsOf(bytes: Uint8Array, place: number, intake: Intake): readonly SnapshotItem[] {
  const text = intake.text(bytes, MAX_MESSAGE_BYTES);
  if (text === null) throw new Error('a chunk is too large');
  const chunk = SnapshotChunk.parse(JSON.parse(text));
  if (chunk.i !== place) throw new Error('a chunk says it belongs elsewhere');
  return chunk.items;
}
