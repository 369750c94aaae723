import { LEASE_VALID_MS, type LeaseGrant } from '@sever/protocol';
import type { Instant } from './clock';

/** Wall and monotonic clock may move apart by this much before a lease counts as void: the machine was suspended. */
export const MAX_DRIFT_MS = 1_000;
const MAX_OUTSTANDING = 8;

export interface SentLeaseRequest {
  readonly nonce: string;
  readonly at: Instant;
  readonly epoch: number;
  readonly applied: number;
}

interface RunningLease {
  readonly sent: SentLeaseRequest;
  /** Monotonic. */
  readonly until: number;
}

/**
 * The lease that lets a strict enforcement point admit at all. It runs on the monotonic clock from the moment its
 * request was sent, so no delay on the way, in the broker or in this process can lengthen it.
 */
export class LeaseKeeper {
  validMs = LEASE_VALID_MS;
  /** When this boot last knew that it had everything: own monotonic clock, and the database's clock. */
  lastCaughtUp: { readonly mono: number; readonly now: number } | null = null;
  private running: RunningLease | null = null;
  /** A grant whose head is not applied yet; it starts as soon as it is. */
  private waiting: { readonly sent: SentLeaseRequest; readonly grant: LeaseGrant } | null = null;
  private readonly outstanding = new Map<string, SentLeaseRequest>();

  get until(): number | null {
    return this.running?.until ?? null;
  }

  isValid(mono: number): boolean {
    return this.running !== null && mono < this.running.until;
  }

  leftMs(mono: number): number {
    return this.running === null ? 0 : Math.max(0, this.running.until - mono);
  }

  request(sent: SentLeaseRequest): void {
    this.outstanding.set(sent.nonce, sent);
    for (const nonce of this.outstanding.keys()) {
      if (this.outstanding.size <= MAX_OUTSTANDING) break;
      this.outstanding.delete(nonce);
    }
  }

  /** The request that a reply answers; a nonce is taken once, so a replayed reply finds nothing. */
  answered(nonce: string): SentLeaseRequest | undefined {
    const sent = this.outstanding.get(nonce);
    this.outstanding.delete(nonce);
    return sent;
  }

  forgetRequests(): void {
    this.outstanding.clear();
    this.waiting = null;
  }

  /** Neither the running lease nor any that was asked for counts any more. */
  void(): void {
    this.running = null;
    this.forgetRequests();
  }

  await(sent: SentLeaseRequest, grant: LeaseGrant): void {
    if (this.waiting === null || this.waiting.sent.at.mono < sent.at.mono)
      this.waiting = { sent, grant };
  }

  takeWaiting(
    ready: (grant: LeaseGrant) => boolean,
  ): { sent: SentLeaseRequest; grant: LeaseGrant } | null {
    if (this.waiting === null || !ready(this.waiting.grant)) return null;
    const { sent, grant } = this.waiting;
    this.waiting = null;
    return { sent, grant };
  }

  /** @param start monotonic moment from which the lease runs */
  begin(sent: SentLeaseRequest, grant: LeaseGrant, start: number): void {
    this.validMs = grant.valid_ms;
    this.lastCaughtUp = { mono: sent.at.mono, now: grant.now };
    if (this.running !== null && this.running.sent.at.mono > sent.at.mono) return;
    this.running = { sent, until: start + grant.valid_ms };
  }

  /**
   * Compares the clocks with each request's. A lease or request whose clocks have once moved apart is void for good,
   * even if somebody sets the wall clock back before the next look.
   *
   * @returns whether the running lease was voided by this reading
   */
  observe(at: Instant): boolean {
    if (this.outstanding.size > 0)
      for (const sent of this.outstanding.values())
        if (drifted(sent.at, at)) this.outstanding.delete(sent.nonce);
    if (this.waiting !== null && drifted(this.waiting.sent.at, at)) this.waiting = null;
    if (this.running === null || !drifted(this.running.sent.at, at)) return false;
    this.running = null;
    return true;
  }
}

function drifted(from: Instant, to: Instant): boolean {
  return Math.abs(to.wall - from.wall - (to.mono - from.mono)) > MAX_DRIFT_MS;
}
