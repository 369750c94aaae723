import {
  FLOOR_KEEP_MS,
  raisedFloor,
  type Entry,
  type KnownOp,
  type Position,
  type SnapshotItem,
  type UnknownOp,
} from '@sever/protocol';
import { snapshotItems } from '../../src/stream/snapshot-items';
import type { SnapshotRead } from '../../src/stream/snapshot.store';
import type { KeptHead } from '../../src/stream/stream-answers';
import { sha256 } from '../../packages/enforcement/src/driver';
import type { SignedEntry } from '../../packages/enforcement/src/machine-events';
import { Boots, type BootTable } from './boots';
import { TENANT } from './population';
import { firstKeys, retireKey, type KeyTable } from './signing-keys';

/** The database's clock at true time zero. */
export const WALL = 1_900_000_000_000;
const START = Buffer.alloc(32).toString('base64url');
const encoder = new TextEncoder();
/** Older entries are compacted; small, so that runs meet it. */
const RETAINED = 8;

interface SubjectRow {
  generation: number;
  floor: number;
  flooredAt: number;
  killId: string;
}

/** Boots that a restore has forgotten may hold leases of that length. */
interface Opening {
  leaseValidMs: number;
  settled: boolean;
}

interface State extends BootTable {
  epoch: number;
  entries: SignedEntry[];
  /** The chain's value after each entry; at 0 its start. */
  digests: string[];
  subjects: Map<string, SubjectRow>;
  suspensions: Map<string, { subject: string; epoch: number; seq: number; lifted: boolean }>;
  lifted: Set<string>;
  openings: Map<number, Opening>;
  keys: KeyTable;
  /** Every entry that was ever written here, or committed again here. */
  known: Set<string>;
}

export interface Contents extends Position {
  readonly digest: string;
  readonly items: readonly SnapshotItem[];
}

/** The primary: what is committed is there, in commit order, without a gap, until a restore. */
export class Database {
  up = true;
  private state: State = {
    epoch: 1,
    entries: [],
    digests: [START],
    subjects: new Map(),
    suspensions: new Map(),
    lifted: new Set(),
    boots: new Map(),
    revoked: new Map(),
    openings: new Map(),
    keys: firstKeys(),
    known: new Set(),
  };
  private newestEpoch = 1;

  constructor(private readonly trueTime: () => number) {}

  get now(): number {
    return WALL + Math.floor(this.trueTime());
  }

  get head(): KeptHead {
    const seq = this.state.entries.length;
    return { epoch: this.state.epoch, seq, compactedBelow: Math.max(1, seq - RETAINED + 1) };
  }

  get digest(): string {
    return this.digestAt(this.head) ?? START;
  }

  /** `null` for a place of another epoch, or one that is not here. */
  digestAt({ epoch, seq }: Position): string | null {
    return epoch === this.state.epoch ? (this.state.digests[seq] ?? null) : null;
  }

  get boots(): Boots {
    return new Boots(this.state, { epoch: this.head.epoch, seq: this.head.seq }, this.now);
  }

  get keys(): KeyTable {
    return this.state.keys;
  }

  append(op: KnownOp | UnknownOp, killId: string): SignedEntry {
    const { epoch, entries, digests } = this.state;
    const entry: Entry = {
      ...{ type: 'entry', v: 1, tenant: TENANT, epoch, seq: entries.length + 1 },
      ...{ op, kill_id: killId, digest: this.digest, at: this.now },
    };
    const jws = JSON.stringify(entry);
    const payload = encoder.encode(jws);
    const signed = { entry, payload, jws };
    this.state.known.add(jws);
    entries.push(signed);
    const before = Buffer.from(entry.digest, 'base64url');
    digests.push(Buffer.from(sha256(before, sha256(payload))).toString('base64url'));
    return signed;
  }

  /** @returns the floor's entry, and the floor */
  kill(subject: string, killId: string, drain = false): { signed: SignedEntry; floor: number } {
    const row = this.state.subjects.get(subject);
    const floor = raisedFloor(row?.floor ?? 1, row?.generation ?? 1, this.state.epoch);
    const generation = row?.generation ?? 1;
    this.state.subjects.set(subject, { generation, floor, flooredAt: this.now, killId });
    const op = { op: 'floor', subject, generation: floor } as const;
    const signed = this.append(drain ? { ...op, in_flight: 'drain' } : op, killId);
    return { signed, floor };
  }

  suspend(subject: string, id: string, op: 'suspend' | 'quarantine' = 'suspend'): SignedEntry {
    const signed = this.append({ op, id, subject }, id);
    const { epoch, seq } = signed.entry;
    this.state.suspensions.set(id, { subject, epoch, seq, lifted: false });
    return signed;
  }

  /** What has no generation at an enforcement point is killed by a suspension that nobody lifts but by reinstating it. */
  revokePoint(ep: string, killId: string): SignedEntry {
    const signed = this.suspend(`enforcement_point:${ep}`, killId);
    this.boots.revoke(ep, killId, signed.entry);
    return signed;
  }

  /** The heir takes the dying key's place in the same transaction. */
  killKey(kid: string, killId: string): SignedEntry[] {
    const suspended = this.suspend(`signing_key:${kid}`, killId);
    return [suspended, ...retireKey(this.keys, kid).map((op) => this.append(op, killId))];
  }

  lift(id: string): SignedEntry {
    const standing = this.state.suspensions.get(id);
    if (standing) this.state.suspensions.set(id, { ...standing, lifted: true });
    this.state.lifted.add(id);
    return this.append({ op: 'lift', id }, id);
  }

  knows(jws: string): boolean {
    return this.state.known.has(jws);
  }

  /** Its order stands again, or needs to no more. */
  learn(jws: string): void {
    this.state.known.add(jws);
  }

  /** Suspensions that are not lifted: id and subject. */
  standing(): [string, string][] {
    return [...this.state.suspensions].flatMap(([id, one]) =>
      one.lifted ? [] : [[id, one.subject]],
    );
  }

  isLifted(id: string): boolean {
    return this.state.lifted.has(id);
  }

  generationOf = (subject: string): number => this.state.subjects.get(subject)?.generation ?? 1;

  /** A new generation, at the floor: what the old one minted stays below it. */
  reinstate(subject: string, keepsFloor: boolean): void {
    const row = this.state.subjects.get(subject);
    if (!keepsFloor) this.state.subjects.delete(subject);
    else if (row) this.state.subjects.set(subject, { ...row, generation: row.floor });
  }

  after({ epoch, seq }: Position): readonly SignedEntry[] {
    if (epoch > this.state.epoch) return [];
    return this.state.entries.slice(epoch === this.state.epoch ? seq : 0);
  }

  /** What is still kept between these places. */
  kept(epoch: number, from: number, to: number): readonly SignedEntry[] {
    const { compactedBelow } = this.head;
    if (epoch !== this.state.epoch) return [];
    return this.state.entries.slice(Math.max(from, compactedBelow) - 1, to);
  }

  contents(emergencies: Iterable<readonly [string, string]>): Contents {
    const { epoch, subjects, suspensions, lifted, keys } = this.state;
    const read: Parameters<typeof snapshotItems>[0] = {
      epoch,
      keys: [...keys].map(([kid, { state, jwk }]) => ({ purpose: 'token', kid, state, jwk })),
      floors: [...subjects].flatMap(([subject, { floor, flooredAt, killId }]) =>
        flooredAt > this.now - FLOOR_KEEP_MS
          ? [{ subject, floor, flooredAt, orderId: killId }]
          : [],
      ),
      suspensions: [...suspensions].flatMap(([orderId, one]): SnapshotRead['suspensions'] =>
        one.lifted ? [] : [{ orderId, level: null, ...one }],
      ),
      lifted: [...lifted],
      emergencies: [...emergencies],
    };
    return { ...this.head, digest: this.digest, items: [...snapshotItems(read)] };
  }

  backup(): unknown {
    return structuredClone(this.state);
  }

  /** The database of that backup, in the epoch that it was in. */
  restore(backup: unknown): void {
    this.state = structuredClone(backup as State);
  }

  /** An epoch that no enforcement point has seen. */
  openEpoch(leaseValidMs: number): void {
    this.newestEpoch += 1;
    this.state.epoch = this.newestEpoch;
    this.state.entries = [];
    this.state.digests = [START];
    this.state.openings.set(this.newestEpoch, { leaseValidMs, settled: false });
  }

  /** `null` for the first epoch, which nothing came before. */
  waiting(epoch: number): Opening | null {
    return this.state.openings.get(epoch) ?? null;
  }

  settle(epoch: number): void {
    const opening = this.state.openings.get(epoch);
    if (opening !== undefined) opening.settled = true;
  }
}
