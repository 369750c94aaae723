import { z } from 'zod';
import {
  AbortAbility,
  Count,
  Digest,
  envelope,
  Millis,
  EpMode,
  KeyPurpose,
  Nonce,
  PublicJwk,
  SubjectText,
  Token,
} from './common';

/** Signed by the enforcement point: it enters the roster by this request. */
export const SnapshotRequest = envelope('snapshot-request').extend({
  ep: Token,
  boot_id: Token,
  nonce: Nonce,
  mode: EpMode,
  abort: AbortAbility,
  /** The boot that held the same key directory before, which this one's exclusive lock proves to be gone. */
  replaces: Token.optional(),
});
export type SnapshotRequest = z.infer<typeof SnapshotRequest>;

/**
 * First reply to a snapshot request, signed by the stream key. The chunks follow as plain messages in order; each must
 * hash to its place in `chunks`, so the signature covers them all. A snapshot is taken whole or not at all.
 */
export const SnapshotManifest = envelope('snapshot').extend({
  epoch: Count,
  seq: Count,
  boot_id: Token,
  nonce: Nonce,
  /** The chain's value at `seq`. */
  digest: Digest,
  /** SHA-256 of each chunk's bytes. */
  chunks: z.array(Digest).max(10_000),
  items: Count,
  now: Millis,
});
export type SnapshotManifest = z.infer<typeof SnapshotManifest>;

export const FloorItem = z.tuple([z.literal('f'), SubjectText, Count, Millis, Token]);
export const SuspensionItem = z.tuple([
  z.literal('s'),
  Token,
  SubjectText,
  z.string().max(512).nullable(),
  Count,
]);
export const KeyItem = z.tuple([
  z.literal('k'),
  KeyPurpose,
  z.string().max(64),
  z.enum(['next', 'live', 'dead']),
  PublicJwk.nullable(),
]);
export const EmergencyItem = z.tuple([z.literal('e'), Token, SubjectText]);
export const LiftedItem = z.tuple([z.literal('l'), Token]);

/**
 * `["f", subject, generation, keep_until, kill_id]` · `["s", id, subject, level, seq]` · `["k", purpose, kid, state, jwk]` ·
 * `["e", kill_id, subject]` · `["l", id]`.
 */
export const SnapshotItem = z.union([
  FloorItem,
  SuspensionItem,
  KeyItem,
  EmergencyItem,
  LiftedItem,
]);
export type SnapshotItem = z.infer<typeof SnapshotItem>;

export const SnapshotChunk = z.object({ i: Count, items: z.array(SnapshotItem) });
export type SnapshotChunk = z.infer<typeof SnapshotChunk>;

/** Reply in place of a manifest when the request is refused. Unsigned: it grants nothing and denies nothing. */
export const Refusal = z.object({
  type: z.literal('refused'),
  v: z.literal(1),
  code: z.string().max(64),
  detail: z.string().max(512),
});
export type Refusal = z.infer<typeof Refusal>;
