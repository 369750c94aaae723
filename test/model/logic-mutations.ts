import { orderStanding } from '../../src/enforcement/containment-rules';
import { judgeLease, type LeaseFacts } from '../../src/enforcement/lease-rules';
import { judgeReceipt } from '../../src/enforcement/receipt-rules';
import { RelayCursor, type RelayMark } from '../../src/stream/relay-cursor';

/** What the control plane runs, each with one rule taken out of it. */

export const leaseForAnyBoot: typeof judgeLease = (request, facts) =>
  judgeLease(request, { ...facts, livingMode: request.mode });

const undivided = (facts: LeaseFacts, applied: number): LeaseFacts => ({
  ...{ ...facts, digest: null },
  head: Math.max(facts.head, applied),
});

export const leaseDespiteDivergence: typeof judgeLease = (request, facts) =>
  judgeLease(request, undivided(facts, request.applied));

export const leaseWithoutRenewal: typeof judgeLease = (request, facts) =>
  judgeLease(request, { ...facts, longSilent: false });

export const receiptOfAnotherChain: typeof judgeReceipt = (receipt, facts) =>
  judgeReceipt(receipt, facts && { ...facts, digest: null });

export const receiptOverTheHead: typeof judgeReceipt = (receipt, facts) =>
  judgeReceipt(receipt, facts && { ...facts, head: Infinity });

export const bestEffortBecomesDark: typeof orderStanding = (roster, ...rest) =>
  orderStanding(
    roster.map((boot) => ({ ...boot, mode: 'strict' })),
    ...rest,
  );

export const nacksAreOverlooked: typeof orderStanding = (roster, ...rest) =>
  orderStanding(
    roster.map((boot) => ({ ...boot, receipt: boot.receipt && { ...boot.receipt, nacks: [] } })),
    ...rest,
  );

type Numbered = { readonly seq: number };

/** Goes on where it was, although the connection was lost. */
export class NeverRewinds<E extends Numbered> extends RelayCursor<E> {
  override rewind(): void {
    // Nothing: that is the mutation.
  }
}

/** Takes what comes after a gap, and never reads what lies in it. */
export class PassesOverGaps<E extends Numbered> extends RelayCursor<E> {
  protected override isGap(): boolean {
    return false;
  }
}

/** Takes the broker's word for what was handed over since the question. */
export class ConfirmsTooMuch<E extends Numbered> extends RelayCursor<E> {
  override confirm(): void {
    this.safe = this.published;
  }
}

/** Takes an answer that belongs to a connection which is lost. */
export class ConfirmsAcrossLosses<E extends Numbered> extends RelayCursor<E> {
  override confirm({ upTo }: RelayMark): void {
    this.safe = upTo;
  }
}
