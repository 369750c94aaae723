import {
  type Entry,
  type KnownOp,
  type LeaseGrant,
  type LeaseRefusal,
  type Mode,
  type SnapshotItem,
  type SnapshotManifest,
} from '@sever/protocol';
import { sha256 } from '../../src/driver';
import type { KeptEmergencies } from '../../src/kept-emergencies';
import { Machine } from '../../src/machine';
import type { Effect, MachineEvent, SignedEntry } from '../../src/machine-events';

const encoder = new TextEncoder();
export const WALL = 1_900_000_000_000;

/** A stream as the control plane keeps it: entries with their place in the chain. */
export class StreamByHand {
  readonly entries: SignedEntry[] = [];
  private digests: Uint8Array[] = [new Uint8Array(32)];

  constructor(readonly epoch = 1) {}

  get head(): number {
    return this.entries.length;
  }

  digestAt(seq: number): string {
    return Buffer.from(this.digests[seq] ?? new Uint8Array(32)).toString('base64url');
  }

  append(op: KnownOp | { op: string; subject?: string }, killId = `kil_${this.head + 1}`) {
    const signed = entryOf({
      epoch: this.epoch,
      seq: this.head + 1,
      op,
      kill_id: killId,
      digest: this.digestAt(this.head),
    });
    this.entries.push(signed);
    const last = this.digests.at(-1) ?? new Uint8Array(32);
    this.digests.push(sha256(last, sha256(signed.payload)));
    return signed;
  }

  kill(agent: string): SignedEntry {
    return this.append({ op: 'floor', subject: `agent:${agent}`, generation: 2 });
  }
}

export function entryOf(
  fields: Pick<Entry, 'epoch' | 'seq' | 'op' | 'kill_id' | 'digest'>,
): SignedEntry {
  const entry: Entry = { type: 'entry', v: 1, tenant: 'ten_1', at: WALL, ...fields };
  return { entry, payload: encoder.encode(JSON.stringify(entry)) };
}

/** The machine with clocks, randomness and a control plane that a test turns by hand. */
export class MachineUnderTest {
  mono = 1_000;
  wall = WALL;
  effects: Effect[] = [];
  readonly all: Effect[] = [];
  readonly machine: Machine;
  private nonces = 0;

  constructor(
    readonly mode: Mode = 'strict',
    readonly stream = new StreamByHand(),
    make: new (...args: ConstructorParameters<typeof Machine>) => Machine = Machine,
    kept?: KeptEmergencies,
  ) {
    this.machine = new make({
      tenant: 'ten_1',
      ep: 'enf_1',
      enrolmentKeyId: 'enr_1',
      bootId: 'bot_1',
      mode,
      kept,
      sha256,
      random: () => 0.5,
      nonce: () => `nonce-${String((this.nonces += 1)).padStart(12, '0')}`,
    });
  }

  feed(event: MachineEvent): Effect[] {
    this.effects = this.machine.handle(event, this.at);
    this.all.push(...this.effects);
    return this.effects;
  }

  get at() {
    return { mono: this.mono, wall: this.wall };
  }

  get standing() {
    return this.machine.standing(this.at);
  }

  /** Both clocks go on together, with every tick that the machine asked for on the way. */
  pass(milliseconds: number): Effect[] {
    const until = this.mono + milliseconds;
    const effects: Effect[] = [];
    for (;;) {
      const next = Math.max(this.machine.nextDeadline(), this.mono);
      if (next > until) break;
      this.wall += next - this.mono;
      this.mono = next;
      effects.push(...this.feed({ type: 'tick' }));
    }
    this.wall += until - this.mono;
    this.mono = until;
    return effects;
  }

  asked<T extends Effect['type']>(type: T): Extract<Effect, { type: T }> {
    const found = this.all.filter((effect) => effect.type === type).at(-1);
    if (found === undefined) throw new Error(`it never asked for ${type}`);
    return found as Extract<Effect, { type: T }>;
  }

  entry(signed: SignedEntry): Effect[] {
    return this.feed({ type: 'entry', ...signed });
  }

  snapshot(
    fields: Partial<SnapshotManifest> = {},
    items: SnapshotItem[] = [],
    stream = this.stream,
  ): Effect[] {
    const seq = fields.seq ?? stream.head;
    return this.feed({
      type: 'snapshot',
      items,
      manifest: {
        type: 'snapshot',
        v: 1,
        tenant: 'ten_1',
        epoch: stream.epoch,
        seq,
        boot_id: 'bot_1',
        nonce: this.asked('request_snapshot').nonce,
        digest: stream.digestAt(seq),
        chunks: [],
        items: items.length,
        now: this.wall,
        ...fields,
      },
    });
  }

  lease(fields: Partial<LeaseGrant> = {}): Effect[] {
    return this.feed({
      type: 'lease',
      reply: {
        type: 'lease',
        v: 1,
        tenant: 'ten_1',
        ep: 'enf_1',
        boot_id: 'bot_1',
        nonce: this.asked('request_lease').nonce,
        epoch: this.stream.epoch,
        head: this.stream.head,
        valid_ms: 10_000,
        now: this.wall,
        ...fields,
      },
    });
  }

  refuseLease(code: LeaseRefusal['code']): Effect[] {
    return this.feed({
      type: 'lease',
      reply: {
        type: 'lease-refused',
        v: 1,
        tenant: 'ten_1',
        ep: 'enf_1',
        boot_id: 'bot_1',
        nonce: this.asked('request_lease').nonce,
        code,
      },
    });
  }

  pulse(fields: { n: number; head: number; epoch?: number; source?: string }): Effect[] {
    return this.feed({
      type: 'pulse',
      pulse: {
        type: 'pulse',
        v: 1,
        tenant: 'ten_1',
        epoch: this.stream.epoch,
        source: 'replica',
        now: this.wall,
        receipt_window_ms: 0,
        ...fields,
      },
    });
  }

  /** Up to the first lease. */
  boot(): this {
    this.feed({ type: 'connected' });
    this.snapshot();
    this.lease();
    return this;
  }

  denies(agent: string): boolean {
    return this.machine.view.denial([[`agent:${agent}`, 1]]) !== null;
  }

  /** Positions that receipts have vouched for, in order. */
  get receipted(): number[] {
    return this.all.flatMap((effect) => (effect.type === 'receipt' ? [effect.body.applied] : []));
  }
}
