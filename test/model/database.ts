import {
  FLOOR_KEEP_MS,
  raisedFloor,
  type Boot,
  type Entry,
  type KnownOp,
  type Position,
  type SnapshotItem,
  type UnknownOp,
} from '@sever/protocol';
import { sha256 } from '../../packages/enforcement/src/driver';
import type { SignedEntry } from '../../packages/enforcement/src/machine-events';
import { TENANT } from './population';

/** The database's clock at true time zero. */
export const WALL = 1_900_000_000_000;
const START = Buffer.alloc(32).toString('base64url');
const encoder = new TextEncoder();
/** Older entries are compacted; small, so that runs meet it. */
const RETAINED = 8;

export interface StoredBoot extends Omit<Boot, 'nacked'> {
  readonly bootId: string;
  readonly ep: string;
  /** Places that it could not apply, as its newest receipt has them. */
  readonly nacks: readonly Position[];
}

interface SubjectRow {
  generation: number;
  floor: number;
  flooredAt: number;
  killId: string;
}

interface State {
  epoch: number;
  entries: SignedEntry[];
  /** The chain's value after each entry; at 0 its start. */
  digests: string[];
  subjects: Map<string, SubjectRow>;
  suspensions: Map<string, { subject: string; epoch: number; seq: number; lifted: boolean }>;
  lifted: Set<string>;
  boots: Map<string, StoredBoot>;
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
    known: new Set(),
  };
  private newestEpoch = 1;

  constructor(private readonly trueTime: () => number) {}

  get now(): number {
    return WALL + Math.floor(this.trueTime());
  }

  get head(): Position {
    return { epoch: this.state.epoch, seq: this.state.entries.length };
  }

  get digest(): string {
    return this.digestAt(this.head) ?? START;
  }

  digestAt({ epoch, seq }: Position): string | null {
    return epoch === this.state.epoch ? (this.state.digests[seq] ?? null) : null;
  }

  get boots(): ReadonlyMap<string, StoredBoot> {
    return this.state.boots;
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
  reinstate(subject: string): void {
    const row = this.state.subjects.get(subject);
    if (row) this.state.subjects.set(subject, { ...row, generation: row.floor });
  }

  after({ epoch, seq }: Position): readonly SignedEntry[] {
    if (epoch > this.state.epoch) return [];
    return this.state.entries.slice(epoch === this.state.epoch ? seq : 0);
  }

  range(epoch: number, from: number, to: number) {
    const compacted = epoch !== this.state.epoch || from <= this.head.seq - RETAINED;
    return { compacted, entries: compacted ? [] : this.state.entries.slice(from - 1, to) };
  }

  contents(emergencies: Iterable<readonly [string, string]>): Contents {
    const { epoch, subjects, suspensions, lifted } = this.state;
    const items: SnapshotItem[] = [];
    for (const [subject, { floor, flooredAt, killId }] of subjects)
      if (flooredAt > this.now - FLOOR_KEEP_MS)
        items.push(['f', subject, floor, flooredAt + FLOOR_KEEP_MS, killId]);
    for (const [id, one] of suspensions)
      if (!one.lifted) items.push(['s', id, one.subject, null, one.epoch === epoch ? one.seq : 0]);
    for (const id of lifted) items.push(['l', id]);
    for (const [killId, subject] of emergencies) items.push(['e', killId, subject]);
    return { ...this.head, digest: this.digest, items };
  }

  storeBoot(boot: StoredBoot): void {
    this.state.boots.set(boot.bootId, boot);
  }

  backup(): unknown {
    return structuredClone(this.state);
  }

  /** The database of that backup, in the epoch that it was in. */
  restore(backup: unknown): void {
    this.state = structuredClone(backup as State);
  }

  /** An epoch that no enforcement point has seen. */
  openEpoch(): void {
    this.newestEpoch += 1;
    this.state.epoch = this.newestEpoch;
    this.state.entries = [];
    this.state.digests = [START];
  }
}
