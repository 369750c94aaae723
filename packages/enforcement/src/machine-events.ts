import type {
  Emergency,
  Entry,
  Halt,
  KeyPurpose,
  LeaseReply,
  Mode,
  Pulse,
  PublicJwk,
  SnapshotItem,
  SnapshotManifest,
} from '@sever/protocol';
import type { KeptEmergencies } from './kept-emergencies';

export interface SignedHalt {
  readonly halt: Halt;
  readonly jws: string;
  readonly kid: string;
}

export interface SignedEntry {
  readonly entry: Entry;
  /** The signed bytes; the chain's hashes are taken over them. */
  readonly payload: Uint8Array;
  /** As it was signed; absent where nobody would have to be shown it. */
  readonly jws?: string | undefined;
}

/** What reaches the machine. Every message has passed signature, tenant, size and schema before. */
export type MachineEvent =
  /** The transport has subscribed to stream, pulse and emergency. */
  | { readonly type: 'start' }
  | ({ readonly type: 'entry' } & SignedEntry)
  | { readonly type: 'pulse'; readonly pulse: Pulse }
  | { readonly type: 'emergency'; readonly emergency: Emergency }
  | ({ readonly type: 'halt' } & SignedHalt)
  /** A call that an order lets drain has come to its end. */
  | { readonly type: 'drained' }
  | {
      readonly type: 'snapshot';
      readonly manifest: SnapshotManifest;
      readonly items: readonly SnapshotItem[];
      /** The manifest as it was signed. */
      readonly jws?: string | undefined;
    }
  | { readonly type: 'snapshot_failed'; readonly nonce: string }
  /** Its entries were fed one by one before this. */
  | { readonly type: 'range'; readonly epoch: number; readonly compacted: boolean }
  | { readonly type: 'range_failed' }
  | { readonly type: 'lease'; readonly reply: LeaseReply }
  | { readonly type: 'lease_failed'; readonly nonce: string }
  /** The control plane has looked at what was shown; its database is in that epoch. */
  | { readonly type: 'evidence_taken'; readonly epoch: number }
  | { readonly type: 'evidence_failed' }
  | { readonly type: 'disconnected' }
  | { readonly type: 'connected' }
  /** Messages may have been lost although the connection stands (slow consumer, stale connection). */
  | { readonly type: 'suspect' }
  /** This process stood still for a while: what came meanwhile has not been read. */
  | { readonly type: 'thawed' }
  | { readonly type: 'tick' };

/** What a receipt says; `appliedAt` becomes `held_ms` when it is sent. */
export interface ReceiptBody {
  readonly epoch: number;
  readonly applied: number;
  readonly digest: string;
  readonly nacks: readonly { readonly seq: number; readonly error: string }[];
  readonly appliedAt: number;
  /** Halts that the control plane is still to be told of, as they were signed. */
  readonly halts: readonly string[];
}

/** `halt`: somebody used a halt key. All others: it refuses everything from now on. */
export interface Alarm {
  readonly kind: 'divergence' | 'revoked' | 'lock_lost' | 'stopped' | 'halt';
  readonly detail: string;
}

/** What the machine wants done, in this order. `abort` before `receipt` is what makes a receipt true. */
export type Effect =
  | { readonly type: 'request_snapshot'; readonly nonce: string }
  | {
      readonly type: 'request_range';
      readonly epoch: number;
      readonly from: number;
      readonly to: number;
    }
  | {
      readonly type: 'request_lease';
      readonly nonce: string;
      readonly epoch: number;
      readonly applied: number;
      readonly digest: string;
    }
  /** Show the control plane what it has signed: its database may have forgotten it. */
  | {
      readonly type: 'show_evidence';
      readonly epoch: number;
      readonly applied: number;
      readonly entries: readonly string[];
      readonly manifest?: string | undefined;
    }
  | { readonly type: 'receipt'; readonly body: ReceiptBody }
  /** Abort work that the view now denies: that of these subjects, or any (`null`). */
  | { readonly type: 'abort'; readonly subjects: readonly string[] | null }
  | { readonly type: 'hold' }
  | { readonly type: 'release' }
  /** End every call in flight; `killId` is the kill of the enforcement point itself, if that is why. */
  | {
      readonly type: 'cut';
      readonly because: 'lapse' | 'floors_missing' | 'dark';
      readonly killId?: string | undefined;
    }
  | {
      readonly type: 'key';
      readonly purpose: KeyPurpose;
      readonly kid: string;
      readonly state: 'next' | 'live' | 'dead';
      readonly jwk: PublicJwk | null;
    }
  /** Write this down whole, in place of what was written before. */
  | { readonly type: 'keep'; readonly emergencies: KeptEmergencies }
  | { readonly type: 'alarm'; readonly alarm: Alarm };

export interface MachineOptions {
  readonly tenant: string;
  readonly ep: string;
  readonly enrolmentKeyId?: string | undefined;
  readonly bootId: string;
  readonly mode: Mode;
  /** What an earlier boot of the same key directory wrote down. */
  readonly kept?: KeptEmergencies | undefined;
  /** SHA-256 over the parts, one after the other. */
  readonly sha256: (...parts: Uint8Array[]) => Uint8Array;
  /** In [0, 1). */
  readonly random: () => number;
  /** At least 128 bits that nobody can guess, `[A-Za-z0-9_-]{16,64}`. */
  readonly nonce: () => string;
}

/**
 * `fresh`: a valid lease. `stale`: best_effort without one. `no_lease`: strict without one. `starting`: not yet a
 * snapshot and a lease of this boot. `dark`: refuses everything.
 */
export type Standing = 'fresh' | 'stale' | 'no_lease' | 'starting' | 'dark';
