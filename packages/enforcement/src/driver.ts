import { createHash, randomBytes } from 'node:crypto';
import {
  ENTRY_SEPARATOR,
  typOf,
  type Leave,
  type Mode,
  type Receipt,
  type SnapshotRequest,
} from '@sever/protocol';
import type { Clock, Instant, Timers } from './clock';
import type { EmergencyKeeper } from './emergency-keeper';
import type { InFlight } from './in-flight';
import type { Intake } from './intake';
import type { KeyDirectory } from './key-directory';
import type { KeyRing } from './key-ring';
import { learnKey } from './learn-key';
import type { Machine } from './machine';
import type { Alarm, Effect, MachineEvent, ReceiptBody } from './machine-events';
import { receiveSnapshot } from './receive-snapshot';
import { showEvidence } from './show-evidence';
import { takeHalt } from './take-halt';
import type { Transport, TransportListener } from './transport';
import type { HaltOutcome, Logger } from './types';

/** More unread messages than this are dropped; the sequence shows the gap, and a snapshot closes it. */
const MAX_BACKLOG = 10_000;
const MAX_HELD_MS = 3_600_000;
const BEAT_MS = 100;
/** Longer between two looks, and this process was stopped (SIGSTOP, a debugger, a paused container) or its loop blocked. */
const FROZEN_MS = 1_000;

export const sha256 = (...parts: Uint8Array[]): Uint8Array => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

export const newNonce = (): string => randomBytes(16).toString('base64url');

export interface DriverOptions {
  readonly ep: string;
  readonly tenant: string;
  readonly bootId: string;
  readonly mode: Mode;
  readonly abort: 'stream' | 'signal' | 'none';
  readonly machine: Machine;
  readonly transport: Transport;
  readonly intake: Intake;
  readonly inFlight: InFlight;
  readonly staleAdmissions: () => number;
  readonly keys: KeyDirectory;
  readonly tokenKeys: KeyRing;
  readonly streamKeys: KeyRing;
  readonly haltKeys: KeyRing;
  readonly keeper: EmergencyKeeper;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly onAlarm: (alarm: Alarm) => void;
  readonly onConnection: (connected: boolean) => void;
}

/** Runs the machine: feeds it verified messages and time, and does what it asks for. */
export class Driver implements TransportListener {
  private serial: Promise<void> = Promise.resolve();
  private backlog = 0;
  private overflowed = false;
  private disarm: (() => void) | null = null;
  private receipt: ReceiptBody | null = null;
  private reporting = false;
  private waking = false;
  private stopped = false;
  private readyWaiters: ((error?: Error) => void)[] = [];
  private lastLook: number;
  private stopBeat: () => void;

  constructor(private readonly options: DriverOptions) {
    this.lastLook = options.clock.monotonic();
    this.stopBeat = this.beat();
  }

  now(): Instant {
    return { mono: this.options.clock.monotonic(), wall: this.options.clock.wall() };
  }

  /** This moment, for a decision: one that comes first after this process stood still must not be taken on what it knew. */
  look(): Instant {
    const at = this.now();
    const stoodStill = at.mono - this.lastLook > FROZEN_MS;
    this.lastLook = at.mono;
    if (stoodStill) this.handle({ type: 'thawed' });
    return at;
  }

  /** Resolves once this boot holds a snapshot and a valid lease. @throws when it is revoked or diverged instead */
  async ready(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.readyWaiters.push((error) => (error === undefined ? resolve() : reject(error)));
      this.announceReady();
    });
  }

  /** Look at the clock now: a decision saw something that no timer has noticed yet. */
  wake(): void {
    if (this.waking) return;
    // Once: under a stream of such decisions a timer set anew each time would never fire.
    this.waking = true;
    this.options.timers.after(0, () => {
      this.waking = false;
      this.handle({ type: 'tick' });
    });
  }

  message(kind: 'stream' | 'pulse' | 'emergency', bytes: Uint8Array): void {
    if (this.backlog >= MAX_BACKLOG) {
      this.overflowed = true;
      this.options.intake.reject('backlog');
      return;
    }
    this.backlog += 1;
    this.enqueue(async () => {
      this.backlog -= 1;
      await this.read(kind, bytes);
      if (this.overflowed && this.backlog === 0) {
        this.overflowed = false;
        this.handle({ type: 'suspect' });
      }
    });
  }

  /** A halt that somebody brings, by whatever road. It does not queue: what it denies merges with all else in any order. */
  async halt(jws: string): Promise<HaltOutcome> {
    const signed = await this.options.intake.halt(jws);
    if (signed === null) return { outcome: 'refused', why: 'not_signed' };
    return await takeHalt(signed, this.options, (event) => this.handle(event));
  }

  /** After everything that has come before. */
  soon(event: MachineEvent): void {
    this.enqueue(() => this.handle(event));
  }

  connected(): void {
    this.options.onConnection(true);
    this.enqueue(() => this.handle({ type: 'connected' }));
  }

  disconnected(): void {
    this.options.onConnection(false);
    this.enqueue(() => this.handle({ type: 'disconnected' }));
  }

  suspect(why: string): void {
    this.options.logger.warn({ why }, 'messages may have been lost; synchronising again');
    this.enqueue(() => this.handle({ type: 'suspect' }));
  }

  goDark(alarm: Alarm): void {
    this.run(this.options.machine.goDark(alarm));
    this.disarm?.();
  }

  /** Says, signed, that this boot refuses everything; only after it does. */
  async leave(): Promise<void> {
    const { machine, keys, transport } = this.options;
    const leave: Leave = {
      ...this.envelope('leave'),
      epoch: machine.chain.epoch,
      applied: machine.chain.applied,
    };
    transport.publishReceipt(await keys.signer.sign(typOf('leave'), leave));
    await transport.flush();
  }

  stop(): void {
    this.stopped = true;
    this.stopBeat();
    this.disarm?.();
    for (const waiter of this.readyWaiters.splice(0)) waiter(new Error('closed'));
  }

  private beat(): () => void {
    return this.options.timers.after(BEAT_MS, () => {
      this.look();
      if (!this.stopped) this.stopBeat = this.beat();
    });
  }

  private async read(kind: 'stream' | 'pulse' | 'emergency', bytes: Uint8Array): Promise<void> {
    const { intake } = this.options;
    switch (kind) {
      case 'stream':
        return await this.readEntries(intake.text(bytes)?.split(ENTRY_SEPARATOR) ?? []);
      case 'pulse': {
        const pulse = await intake.pulse(bytes);
        return pulse === null ? undefined : this.handle({ type: 'pulse', pulse });
      }
      case 'emergency': {
        const text = intake.text(bytes);
        if (text !== null && intake.saysHalt(text)) return void (await this.halt(text));
        const emergency = await intake.emergency(bytes);
        return emergency === null ? undefined : this.handle({ type: 'emergency', emergency });
      }
    }
  }

  /** One by one: an entry may announce the key that signs the next. */
  private async readEntries(lines: readonly string[]): Promise<void> {
    for (const line of lines) {
      const signed = await this.options.intake.entry(line);
      if (signed !== null) this.handle({ type: 'entry', ...signed });
    }
  }

  /** Everything reaches the machine in the order of its arrival, however long its signature takes. */
  private enqueue(task: () => Promise<void> | void): void {
    this.serial = this.serial.then(task).catch((error: unknown) => {
      this.options.logger.error({ error: String(error) }, 'a message could not be handled');
      this.handle({ type: 'suspect' });
    });
  }

  private handle(event: MachineEvent): void {
    if (this.stopped) return;
    this.run(this.options.machine.handle(event, this.now()));
    this.announceReady();
    this.arm();
  }

  private run(effects: readonly Effect[]): void {
    const { machine, inFlight } = this.options;
    for (const effect of effects)
      switch (effect.type) {
        case 'abort':
          inFlight.abortDenied(machine.view, effect.subjects);
          break;
        case 'hold':
          inFlight.hold();
          break;
        case 'release':
          inFlight.release();
          break;
        case 'cut':
          inFlight.cut(effect.killId);
          break;
        case 'key':
          learnKey(effect, this.options);
          break;
        case 'request_snapshot':
          void this.requestSnapshot(effect.nonce);
          break;
        case 'request_range':
          void this.requestRange(effect.epoch, effect.from, effect.to);
          break;
        case 'request_lease':
          void this.requestLease(effect);
          break;
        case 'show_evidence':
          void showEvidence(effect, this.options).then((event) => this.soon(event));
          break;
        case 'receipt':
          this.receipt = effect.body;
          void this.report();
          break;
        case 'keep':
          this.options.keeper.keep(effect.emergencies);
          break;
        case 'alarm':
          this.alarm(effect.alarm);
          break;
      }
  }

  private alarm(alarm: Alarm): void {
    if (alarm.kind === 'halt') return this.options.onAlarm(alarm);
    const error = new Error(`the enforcement point refuses everything: ${alarm.detail}`);
    for (const waiter of this.readyWaiters.splice(0)) waiter(error);
    this.options.onAlarm(alarm);
  }

  private announceReady(): void {
    if (this.readyWaiters.length === 0) return;
    if (this.options.machine.standing(this.now()) !== 'fresh') return;
    for (const waiter of this.readyWaiters.splice(0)) waiter();
  }

  private arm(): void {
    if (this.stopped) return;
    this.disarm?.();
    const left = this.options.machine.nextDeadline() - this.now().mono;
    const wait = Math.max(0, Math.ceil(left));
    this.disarm =
      wait === Infinity
        ? null
        : this.options.timers.after(wait, () => this.handle({ type: 'tick' }));
  }

  private async requestSnapshot(nonce: string): Promise<void> {
    const { keys, transport, intake, mode, abort, bootId } = this.options;
    const replaces = keys.predecessor;
    try {
      const request: SnapshotRequest = {
        ...this.envelope('snapshot-request'),
        nonce,
        mode,
        abort,
        ...(replaces !== undefined && { replaces }),
      };
      const signed = await keys.signer.sign(typOf('snapshot-request'), request);
      const snapshot = await receiveSnapshot(transport.requestSnapshot(signed), intake, nonce);
      this.enqueue(() => this.handle({ type: 'snapshot', ...snapshot }));
      if (replaces !== undefined) await keys.replaced(replaces, bootId);
      // One predecessor is named at a time; the next one needs a request of its own.
      if (replaces !== undefined && keys.predecessor !== undefined)
        this.enqueue(() => this.handle({ type: 'suspect' }));
    } catch (error) {
      this.options.logger.warn({ error: String(error) }, 'no snapshot; trying again');
      this.enqueue(() => this.handle({ type: 'snapshot_failed', nonce }));
    }
  }

  private async requestRange(epoch: number, from: number, to: number): Promise<void> {
    try {
      const request = { type: 'range-request', v: 1, epoch, from, to } as const;
      const reply = this.options.intake.range(await this.options.transport.requestRange(request));
      if (reply === null) throw new Error('not a range');
      this.enqueue(async () => {
        await this.readEntries(reply.entries);
        this.handle({ type: 'range', epoch: reply.epoch, compacted: reply.compacted });
      });
    } catch (error) {
      this.options.logger.warn({ error: String(error), from, to }, 'no range; trying again');
      this.enqueue(() => this.handle({ type: 'range_failed' }));
    }
  }

  private async requestLease(asked: Extract<Effect, { type: 'request_lease' }>): Promise<void> {
    const { nonce, epoch, applied, digest } = asked;
    const { bootId, mode, transport, intake } = this.options;
    try {
      const bytes = await transport.requestLease({
        type: 'lease-request',
        v: 1,
        nonce,
        boot_id: bootId,
        mode,
        epoch,
        applied,
        digest,
      });
      const reply = await intake.lease(bytes);
      if (reply === null) throw new Error('not a lease');
      this.enqueue(() => this.handle({ type: 'lease', reply }));
    } catch {
      // Silence is what the lease is for: the machine knows how long it may go on.
      this.enqueue(() => this.handle({ type: 'lease_failed', nonce }));
    }
  }

  /** One at a time, each with what was applied when it was asked for: a receipt never says more than is true. */
  private async report(): Promise<void> {
    if (this.reporting) return;
    this.reporting = true;
    try {
      while (this.receipt !== null && !this.stopped) {
        const body = this.receipt;
        this.receipt = null;
        await this.options.inFlight.settled();
        await this.sendReceipt(body);
      }
    } catch (error) {
      this.options.logger.error({ error: String(error) }, 'a receipt could not be sent');
    } finally {
      this.reporting = false;
    }
  }

  private async sendReceipt({ appliedAt, nacks, halts, ...body }: ReceiptBody): Promise<void> {
    const { keys, transport, inFlight } = this.options;
    const receipt: Receipt = {
      ...this.envelope('receipt'),
      ...body,
      nacks: [...nacks],
      held_ms: Math.min(MAX_HELD_MS, Math.max(0, this.now().mono - appliedAt)),
      stale_admissions: this.options.staleAdmissions(),
      in_flight: inFlight.counts(),
      ...(halts.length > 0 && { halts: [...halts] }),
    };
    const signed = await keys.signer.sign(typOf('receipt'), receipt);
    // Dark since it was asked for: this boot vouches for nothing any more.
    if (this.options.machine.darkBecause !== null && !this.options.machine.isRevoked) return;
    transport.publishReceipt(signed);
  }

  private envelope<T extends string>(type: T) {
    const { tenant, ep, bootId } = this.options;
    return { type, v: 1, tenant, ep, boot_id: bootId } as const;
  }
}
