import { MAX_CALL_BATCH } from '@sever/protocol';
import type { Clock, Timers } from '../clock';
import { CallQueue } from './call-queue';
import { CallSpool } from './call-spool';
import { recordOf } from './record-of';
import type { CallCounts, DropReason, SeenCall } from './seen-call';
import { sendBatch, type SenderParts } from './send-batch';

/** A record waits at most so long for others to travel with. */
const BATCH_MS = 200;
/** While nobody takes them, records stay in memory so long before they are written down. */
const SPILL_MS = 1_000;
const RETRY_MS = 250;
const RETRY_MAX_MS = 5_000;
/** Signed, it stays well below what one message may hold. */
const BATCH = { records: MAX_CALL_BATCH, size: 96 * 1_024 };

export interface RecorderLimits {
  readonly queueRecords: number;
  readonly queueSize: number;
  readonly spoolBytes: number;
}

const LIMITS: RecorderLimits = {
  queueRecords: 10_000,
  queueSize: 8 * 1_024 * 1_024,
  spoolBytes: 64 * 1_024 * 1_024,
};

export interface CallRecorderOptions extends SenderParts {
  /** Where what nobody takes is kept; made when it is needed. */
  readonly directory: string;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: () => number;
  /** False while kills, receipts and leases have to come first. */
  readonly mayUse: () => boolean;
  /** Default: 10,000 records or 8 MiB in memory, 64 MiB on the disk. */
  readonly limits?: Partial<RecorderLimits>;
}

/**
 * Takes records of calls and sees that the control plane gets them, some time. A call never waits for it: what cannot be
 * sent is written down, what cannot be kept is counted. One batch is on its way at a time.
 */
export class CallRecorder {
  private readonly queue: CallQueue;
  private readonly spool: CallSpool;
  private readonly dropped: Record<DropReason, number> = {
    ...{ queue_full: 0, spool_full: 0, spool_failed: 0, malformed: 0, refused: 0 },
  };
  private sent = 0;
  /** Taken out of the queue and not settled yet. */
  private inHand: readonly string[] = [];
  private retryAt = -Infinity;
  private retryMs = RETRY_MS;
  /** When what lies in memory is written down, unless it is sent before. */
  private spillAt = Infinity;
  private working: Promise<void> | null = null;
  private disarm: (() => void) | null = null;
  private armedFor = Infinity;
  private closing = false;
  private closed = false;

  constructor(private readonly options: CallRecorderOptions) {
    const limits = { ...LIMITS, ...options.limits };
    this.queue = new CallQueue(
      { records: limits.queueRecords, size: limits.queueSize },
      this.count('queue_full'),
    );
    this.spool = new CallSpool(
      options.directory,
      { bytes: limits.spoolBytes, segmentBytes: BATCH.size, segmentRecords: BATCH.records },
      this.count('spool_full'),
    );
  }

  /** Begins with what an earlier process has left on the disk. */
  start(): void {
    this.arm(0);
  }

  /** Returns at once and never throws. */
  record(call: SeenCall): void {
    if (this.closed) return this.count('queue_full')(1);
    try {
      this.queue.push(JSON.stringify(recordOf(call)));
    } catch {
      return this.count('malformed')(1);
    }
    if (this.spillAt === Infinity) this.spillAt = this.now() + SPILL_MS;
    this.arm(this.queue.length >= BATCH.records ? 0 : BATCH_MS);
  }

  counts(): CallCounts {
    return {
      sent: this.sent,
      waiting: this.queue.length + this.inHand.length,
      spooled: this.spool.records,
      dropped: { ...this.dropped },
    };
  }

  /** Sends what it can within that many milliseconds, and writes down the rest. */
  async close(withinMs: number): Promise<void> {
    if (this.closing) return;
    this.closing = true;
    this.disarm?.();
    this.retryAt = -Infinity;
    if (withinMs > 0) await this.flushWithin(withinMs);
    this.closed = true;
    // What is on its way may arrive or not: told twice, it is kept once.
    const rest = [...this.inHand];
    this.inHand = [];
    await this.keep(rest);
    await this.spill();
  }

  private async flushWithin(ms: number): Promise<void> {
    let cancel = (): void => undefined;
    const over = new Promise<void>((resolve) => {
      cancel = this.options.timers.after(ms, resolve);
    });
    await Promise.race([this.flush(), over]);
    cancel();
  }

  private async flush(): Promise<void> {
    while (this.working !== null) await this.working;
    while (await this.step(true));
  }

  private work(): void {
    this.disarm = null;
    this.armedFor = Infinity;
    if (this.working !== null || this.closing) return;
    this.working = (async () => {
      while (!this.closing && (await this.step(false)));
    })().finally(() => {
      this.working = null;
      this.armAgain();
    });
  }

  /** @returns whether there may be more to do at once */
  private async step(isLast: boolean): Promise<boolean> {
    const mayUse = isLast || this.options.mayUse();
    if (!mayUse || this.now() < this.retryAt) {
      if (this.now() >= this.spillAt || this.queue.length >= BATCH.records) await this.spill();
      return false;
    }
    const kept = await this.oldestKept();
    if (kept !== undefined) {
      // Older ones first; meanwhile what is new must not fill the memory.
      if (this.queue.length >= BATCH.records) await this.spill();
      const settled = await this.send(kept.lines);
      if (settled) await this.spool.remove(kept.segment);
      else this.spool.release();
      return settled;
    }
    this.inHand = this.queue.take(BATCH);
    if (this.queue.length === 0) this.spillAt = Infinity;
    if (this.inHand.length === 0) return false;
    const settled = await this.send(this.inHand);
    if (this.closed) return false;
    const lines = this.inHand;
    this.inHand = [];
    if (!settled) await this.keep(lines);
    return settled;
  }

  /** @returns whether these records need no further thought */
  private async send(lines: readonly string[]): Promise<boolean> {
    const { verdict, malformed, records } = await sendBatch(lines, this.options);
    if (verdict === 'later') {
      this.retryAt = this.now() + this.retryMs * (0.5 + this.options.random() / 2);
      this.retryMs = Math.min(RETRY_MAX_MS, this.retryMs * 2);
      return false;
    }
    this.retryMs = RETRY_MS;
    this.count('malformed')(malformed);
    if (verdict === 'taken') this.sent += records;
    else this.count('refused')(records);
    return true;
  }

  private async oldestKept(): ReturnType<CallSpool['oldest']> {
    try {
      return await this.spool.oldest();
    } catch (error) {
      this.diskFailed(error);
      return undefined;
    }
  }

  private async spill(): Promise<void> {
    this.spillAt = Infinity;
    for (let lines = this.queue.take(BATCH); lines.length > 0; lines = this.queue.take(BATCH))
      await this.keep(lines);
  }

  private async keep(lines: readonly string[]): Promise<void> {
    try {
      await this.spool.append(lines);
    } catch (error) {
      this.count('spool_failed')(lines.length);
      this.diskFailed(error);
    }
  }

  private diskFailed(error: unknown): void {
    this.options.logger.error({ error: String(error) }, 'call records cannot be kept on the disk');
  }

  private count(reason: DropReason): (records: number) => void {
    return (records) => {
      this.dropped[reason] += records;
    };
  }

  private armAgain(): void {
    if (this.queue.length === 0 && this.spool.records === 0) return;
    const untilRetry = Math.max(BATCH_MS, this.retryAt - this.now());
    const untilSpill = Math.max(0, this.spillAt - this.now());
    this.arm(Math.min(untilRetry, untilSpill));
  }

  private arm(ms: number): void {
    const at = this.now() + ms;
    if (this.closing || this.working !== null || at >= this.armedFor) return;
    this.disarm?.();
    this.armedFor = at;
    this.disarm = this.options.timers.after(Math.ceil(ms), () => this.work());
  }

  private now(): number {
    return this.options.clock.monotonic();
  }
}
