import type { Entry, SnapshotManifest } from '@sever/protocol';
import { RetrySchedule } from './retry-schedule';

const MOST_ENTRIES = 10_000;
const MOST_BYTES = 16 * 1_024 * 1_024;
const MOST_EPOCHS = 4;
/** A manifest that names more chunks than fit is left out; the entries remain. */
const MOST_MANIFEST_BYTES = 64 * 1_024;

interface Kept {
  readonly epoch: number;
  readonly seq: number;
  readonly jws: string;
}

/** What can be shown: entries in order, and how far a snapshot said the stream had come. */
export interface Shown {
  readonly entries: readonly string[];
  readonly manifest?: string | undefined;
}

/**
 * What the control plane has signed, kept for the day on which its database has forgotten it: the newest entries as they
 * were signed, and the manifest of the newest snapshot of each epoch.
 */
export class EvidenceKeeper {
  private readonly entries = new Map<string, Kept>();
  private readonly manifests = new Map<number, Kept>();
  private bytes = 0;
  private wanted = false;
  private readonly retry: RetrySchedule;

  constructor(random: () => number) {
    this.retry = new RetrySchedule({ firstMs: 500, maxMs: 10_000, timeoutMs: 20_000, random });
  }

  /**
   * @param hash of its payload: two entries with one place are both evidence
   * @returns false when it was kept already
   */
  keep({ epoch, seq }: Entry, hash: string, jws: string): boolean {
    const name = `${epoch}.${seq} ${hash}`;
    if (this.entries.has(name)) return false;
    this.entries.set(name, { epoch, seq, jws });
    this.bytes += jws.length;
    for (const [oldest, kept] of this.entries) {
      if (this.entries.size <= MOST_ENTRIES && this.bytes <= MOST_BYTES) break;
      this.entries.delete(oldest);
      this.bytes -= kept.jws.length;
    }
    return true;
  }

  keepManifest({ epoch, seq }: SnapshotManifest, jws: string): void {
    if (jws.length > MOST_MANIFEST_BYTES) return;
    this.manifests.delete(epoch);
    this.manifests.set(epoch, { epoch, seq, jws });
    if (this.manifests.size > MOST_EPOCHS)
      this.manifests.delete(this.manifests.keys().next().value ?? 0);
  }

  /** To be shown, until the control plane says that it has looked at it. */
  want(): void {
    this.wanted = this.entries.size > 0 || this.manifests.size > 0;
    this.retry.answered();
  }

  /** Is there anything of an earlier epoch than this one? */
  hasBefore(epoch: number): boolean {
    for (const kept of this.entries.values()) if (kept.epoch < epoch) return true;
    for (const kept of this.manifests.values()) if (kept.epoch < epoch) return true;
    return false;
  }

  taken(): void {
    this.wanted = false;
    this.retry.answered();
  }

  failed(mono: number): void {
    if (this.wanted) this.retry.failed(mono);
  }

  /** The way to the control plane is new; what waits there has perhaps been lost. */
  again(): void {
    this.retry.answered();
  }

  isDue(mono: number): boolean {
    if (!this.wanted) return false;
    return this.retry.isDue(mono) || (!this.retry.outstanding && this.retry.nextAt === Infinity);
  }

  get nextAt(): number {
    return this.wanted ? this.retry.nextAt : Infinity;
  }

  /** @param below only of epochs before this one */
  show(below: number, mono: number): Shown {
    this.retry.asked(mono);
    const of = (kept: Iterable<Kept>): Kept[] =>
      [...kept]
        .filter(({ epoch }) => epoch < below)
        .sort((a, b) => a.epoch - b.epoch || a.seq - b.seq);
    return {
      entries: of(this.entries.values()).map(({ jws }) => jws),
      manifest: of(this.manifests.values()).at(-1)?.jws,
    };
  }
}
