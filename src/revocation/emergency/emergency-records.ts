import { Injectable } from '@nestjs/common';
import type { Kill } from '@sever/protocol';
import type { CommittedOrder } from '../commit-orders';
import type { Order } from '../order';
import { EmergencyBook } from './emergency-book';
import type { OpenEmergency } from './emergency-order';
import { EmergencyStore } from './emergency.store';
import { Prepared } from './prepared';

/** A place in no stream: the order has none yet, or never gets one. */
const NO_PLACE = '0.0';

/** The records of orders that are not in the database, or cannot be read there: nothing is said to be proven. */
@Injectable()
export class EmergencyRecords {
  constructor(
    private readonly book: EmergencyBook,
    private readonly prepared: Prepared,
    private readonly store: EmergencyStore,
  ) {}

  /** One that stands; asks nobody. */
  find(tenant: string, killId: string): Kill | undefined {
    const open = this.book.find(tenant, killId);
    return open && this.open(open);
  }

  open(emergency: OpenEmergency): Kill {
    const { tenant, order, issuedAt, journaled, published, warnings } = emergency;
    return {
      ...this.unproven(tenant, order, new Date(issuedAt)),
      state: 'emergency',
      summary: this.summary(emergency),
      warnings: [
        ...warnings,
        ...(published ? [] : ['not_published']),
        ...(journaled ? [] : ['not_journaled']),
      ],
      journaled,
    };
  }

  /** What became of one that the database did not take. `merged`: the id of the order that stands in its place. */
  async closed(tenant: string, killId: string): Promise<Kill | { merged: string } | undefined> {
    const found = await this.store.closed(tenant, killId);
    if (found === undefined || found.refusal === null) return undefined;
    const { ordered, refusal, issued_at: issuedAt, closed_at: closedAt } = found;
    if (typeof refusal.replay === 'string') return { merged: refusal.replay };
    const code = String(refusal.problem);
    return {
      ...this.unproven(tenant, ordered, issuedAt),
      containment: { ...NOTHING_PROVEN },
      state: 'refused',
      summary: `Announced without the database at ${clock(issuedAt)}, and refused by it at ${clock(closedAt)} (${code}): the announcement has been lifted, and nothing is stopped by this order.`,
      warnings: [],
      refused: { at: closedAt.toISOString(), code, detail: detailOf(code) },
    };
  }

  /** Committed, as its own answer said; then the database fell silent, so whoever has enforced it cannot be read. */
  committed(tenant: string, order: Order, outcome: CommittedOrder): Kill {
    const last = outcome.entries.at(-1)?.seq ?? 0;
    return {
      ...this.unproven(tenant, order, new Date(outcome.created_at)),
      state: 'committed',
      stream_token: `${outcome.epoch}.${last}`,
      summary:
        'Committed: from now on nothing is issued to it. Then the database stopped answering, so which enforcement points have enforced it cannot be read; ask for this record again.',
      warnings: ['containment_unknown'],
    };
  }

  private unproven(
    tenant: string,
    order: Order,
    at: Date,
  ): Omit<Kill, 'state' | 'summary' | 'warnings'> {
    const unknown = this.prepared.points(tenant);
    return {
      id: order.id,
      action: order.action,
      subject: order.subjects[0] as Kill['subject'],
      subjects: order.subjects,
      stream_token: NO_PLACE,
      reason: order.reason,
      ticket: order.ticket,
      created_at: at.toISOString(),
      created_by: order.actor,
      ...(order.level !== undefined && { level: order.level }),
      ...(order.in_flight !== undefined && { in_flight: order.in_flight }),
      ...(order.resolved !== undefined && { resolved: order.resolved }),
      cascade: { state: 'pending', agents: null, credentials: null },
      containment: { ...NOTHING_PROVEN, required: unknown.length, unknown },
    };
  }

  private summary({ tenant, published, journaled, order }: OpenEmergency): string {
    const n = this.prepared.points(tenant).length;
    const told =
      n === 0
        ? 'no enforcement point was connected when last looked at'
        : `${n} enforcement point${n === 1 ? ' was' : 's were'} told and refuse${n === 1 ? 's' : ''} it within seconds; none has proven it yet`;
    const now = published
      ? `Announced without the database, which does not answer: ${told}.`
      : 'Taken without the database and without the broker, neither of which answers: it is announced as soon as the broker is back, and strict enforcement points refuse everything once their leases run out.';
    const next =
      order.action === 'suspend'
        ? 'Until the database is back it denies everything; then it is committed under this id.'
        : 'It is committed under this id when the database is back.';
    return journaled
      ? `${now} ${next}`
      : `${now} ${next} It is in memory only: keep this replica running until then.`;
  }
}

const NOTHING_PROVEN: Kill['containment'] = {
  required: 0,
  enforced: 0,
  dark: 0,
  pending: [],
  nack: [],
  unknown: [],
  enforced_by: null,
  latency_ms: null,
  not_covered: [],
};

function detailOf(code: string): string {
  return code === 'not_found'
    ? 'Nothing that the order named exists in this tenant.'
    : 'The database refused the order; send a corrected one.';
}

function clock(at: Date): string {
  return `${at.toISOString().slice(11, 19)}Z`;
}
