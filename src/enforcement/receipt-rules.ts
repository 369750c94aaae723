import type { Receipt } from '@sever/protocol';

/** What the database says about the place that a receipt names, not before its arrival. */
export interface ReceiptFacts {
  readonly epoch: number;
  readonly head: number;
  /** The boot is stored, and is this enforcement point's. */
  readonly known: boolean;
  /** The chain's value there; `null` when that entry is not kept any more. */
  readonly digest: string | null;
}

export type ReceiptVerdict =
  | { readonly holds: true }
  | {
      readonly holds: false;
      /** What it can only say by mistake or by malice; `null` for what is merely late. */
      readonly alarm: {
        readonly kind: 'receipt_over_head' | 'divergence';
        readonly detail: string;
      } | null;
    };

const REMEMBERED_BOOTS = 10_000;

/** A receipt that counts makes a kill "enforced"; so one that does not hold is as if it had not come. */
export function judgeReceipt(
  { epoch, applied, digest }: Pick<Receipt, 'epoch' | 'applied' | 'digest'>,
  facts: ReceiptFacts | null,
): ReceiptVerdict {
  if (facts === null || !facts.known || epoch < facts.epoch) return { holds: false, alarm: null };
  if (epoch > facts.epoch || applied > facts.head) {
    const detail = `claims ${epoch}.${applied}, the head is ${facts.epoch}.${facts.head}`;
    return { holds: false, alarm: { kind: 'receipt_over_head', detail } };
  }
  if (facts.digest !== null && facts.digest !== digest) {
    const detail = `its digest at ${applied} is not that of the database`;
    return { holds: false, alarm: { kind: 'divergence', detail } };
  }
  return { holds: true };
}

type Step = Pick<Receipt, 'tenant' | 'ep' | 'boot_id' | 'epoch' | 'applied' | 'in_flight'>;

/** Per boot, the step that was stored last and what it said of calls in flight: most receipts only repeat it. */
export class StoredSteps {
  private readonly stored = new Map<string, string>();

  has(receipt: Step): boolean {
    return this.stored.get(nameOf(receipt)) === contentOf(receipt);
  }

  add(receipt: Step): void {
    this.stored.set(nameOf(receipt), contentOf(receipt));
    if (this.stored.size > REMEMBERED_BOOTS)
      this.stored.delete(this.stored.keys().next().value ?? '');
  }
}

interface Arrived {
  readonly receipt: Receipt;
  readonly jws: string;
  readonly arrivedAt: number;
}

/** Two receipts for one step may wait together: the first one's arrival, the last one's counts. */
export function onceEachStep(arrived: readonly Arrived[]): Arrived[] {
  const steps = new Map<string, Arrived>();
  for (const one of arrived) {
    const { receipt } = one;
    const step = `${nameOf(receipt)}/${receipt.epoch}.${receipt.applied}`;
    const first = steps.get(step);
    steps.set(
      step,
      first === undefined
        ? one
        : {
            jws: one.jws,
            arrivedAt: first.arrivedAt,
            receipt: { ...receipt, held_ms: first.receipt.held_ms },
          },
    );
  }
  return [...steps.values()];
}

function nameOf({ tenant, ep, boot_id }: Step): string {
  return `${tenant}/${ep}/${boot_id}`;
}

function contentOf({ epoch, applied, in_flight }: Step): string {
  return `${epoch}.${applied} ${JSON.stringify(in_flight)}`;
}
