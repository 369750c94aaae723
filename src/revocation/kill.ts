import { Injectable } from '@nestjs/common';
import {
  newId,
  ProblemError,
  type Kill,
  type KillRequest,
  type SubjectAsked,
} from '@sever/protocol';
import { actorOf } from '../access/actor';
import type { AgentPrincipal, KeyPrincipal } from '../access/principal';
import { Failpoints } from '../config/failpoints';
import { EndUsers } from '../enforcement/end-users';
import { isRefusal, refused } from '../lineage/refusal';
import { SigningKeys } from '../signing/signing-keys';
import { Cascades } from './cascades';
import { CommitOrders, type CommittedOrder, type Outcome } from './commit-orders';
import { EmergencyRoad } from './emergency/emergency-road';
import { KeyHeirs } from './key-heirs';
import { KillRecords } from './kill-records';
import { callerOf, type Order } from './order';
import { Publication } from './publication';
import { readOrder, readReason, readSubject } from './read-order';
import { ResolveSubjects } from './resolve-subjects';

type By = KeyPrincipal | AgentPrincipal;
type Terms = Omit<Order, 'subjects'>;

/** How the call came: whether it is a repetition, and how long it waits for the proof. */
export interface OrderCall {
  readonly idempotency: { readonly key: string; readonly fingerprint: string } | null;
  readonly waitMs: number;
  /** `performance.now()` when the request was taken up; by default now. */
  readonly arrivedAt?: number | undefined;
}

/**
 * A kill (or suspension), from the order to the proof: one transaction raises the floor and appends the entry; COMMIT makes
 * it true; the entry goes out; receipts come back; the reply says what is proven at that moment, and no more.
 */
@Injectable()
export class KillSubjects {
  constructor(
    private readonly resolving: ResolveSubjects,
    private readonly orders: CommitOrders,
    private readonly publication: Publication,
    private readonly cascades: Cascades,
    private readonly records: KillRecords,
    private readonly keys: SigningKeys,
    private readonly heirs: KeyHeirs,
    private readonly failpoints: Failpoints,
    private readonly endUsers: EndUsers,
    private readonly emergencies: EmergencyRoad,
  ) {
    emergencies.commitWith((tenant, order) => this.send(tenant, order));
  }

  async kill(by: By, request: KillRequest, call: OrderCall): Promise<Kill> {
    const { asked, ...terms } = readOrder(by, request);
    return this.race(by, { ...this.orderOf(by, request, call), ...terms }, asked, call);
  }

  /** `DELETE /v1/enforcement-points/:id`. @throws ProblemError `not_found` */
  async revokeEnforcementPoint(by: KeyPrincipal, id: string): Promise<Kill> {
    const call = { idempotency: null, waitMs: 0 };
    const order = { ...this.orderOf(by, { reason: 'removed' }, call), action: 'kill', only: false };
    return this.race(by, order as Terms, [{ kind: 'enforcement_point', id }], call);
  }

  /** A suspension becomes a kill, under its own id. @throws ProblemError `not_a_suspension`, `bad_subject` */
  async escalate(by: By, id: string, reason: string, waitMs: number): Promise<Kill> {
    readReason(reason);
    const { subjects, action, ticket } = await this.records.find(by.tenant, id);
    if (action === 'complete') throw new ProblemError('not_found', `There is no kill ${id}.`);
    for (const subject of subjects) readSubject(subject, 'kill');
    return this.carryOut(
      by,
      {
        ...this.orderOf(by, { reason }, { idempotency: null, waitMs }),
        ...{ id, action: 'kill', only: false, subjects, ticket, escalates: true },
      },
      waitMs,
    );
  }

  /** Begins the transaction, and goes the other road when the database does not answer it. */
  private async race(
    by: By,
    terms: Terms,
    asked: SubjectAsked[],
    { arrivedAt = performance.now(), waitMs }: OrderCall,
  ): Promise<Kill> {
    const { tenant } = by;
    let order: Order = { ...terms, subjects: [] };
    const taken = await this.emergencies.race({ tenant, terms, asked, arrivedAt }, async () => {
      order = { ...terms, ...(await this.resolving.resolve(tenant, asked)) };
      return this.send(tenant, order);
    });
    return 'emergency' in taken
      ? taken.emergency
      : this.answer(tenant, order, taken.outcome, waitMs);
  }

  private async carryOut({ tenant }: By, order: Order, waitMs: number): Promise<Kill> {
    const outcome = await this.emergencies.orGiveUp(this.send(tenant, order));
    return this.answer(tenant, order, outcome, waitMs);
  }

  private async answer(
    tenant: string,
    order: Order,
    outcome: Outcome,
    waitMs: number,
  ): Promise<Kill> {
    if (isRefusal(outcome)) throw refused(outcome);
    const id = 'replay' in outcome ? outcome.replay : outcome.id;
    return this.emergencies.orCommitted(
      this.records.contained(tenant, id, waitMs),
      waitMs,
      'entries' in outcome ? { tenant, order, outcome } : undefined,
    );
  }

  /**
   * Commits an order whose right is proven already, and tells everybody of it.
   *
   * @returns its id, and whether it was this call that committed it
   * @throws ProblemError when the database refuses it
   */
  async commit(tenant: string, order: Order): Promise<{ id: string; fresh: boolean }> {
    const outcome = await this.send(tenant, order);
    if (isRefusal(outcome)) throw refused(outcome);
    return {
      id: 'replay' in outcome ? outcome.replay : outcome.id,
      fresh: 'entries' in outcome,
    };
  }

  private async send(tenant: string, order: Order): Promise<Outcome> {
    await this.prepareHeirs(tenant, order);
    const outcome = await this.orders.submit(tenant, order);
    if ('entries' in outcome) await this.spread(tenant, order, outcome as CommittedOrder);
    return outcome;
  }

  /** Before a signing key dies, the one that takes its place has been announced under its signature. */
  private async prepareHeirs(tenant: string, { action, subjects }: Order): Promise<void> {
    if (action !== 'kill') return;
    for (const { kind, id } of subjects)
      if (kind === 'signing_key') await this.heirs.ensureFor(tenant, id);
  }

  /** After the commit nothing here may fail the kill: whatever is left undone, the relay and the cascades pick up. */
  private async spread(tenant: string, order: Order, committed: CommittedOrder): Promise<void> {
    const kinds = new Set(order.subjects.map(({ kind }) => kind));
    if (kinds.has('signing_key')) this.keys.forget(tenant);
    this.publication.publish(tenant, committed);
    await this.failpoints.hit('kill.after_publish');
    this.cascades.enumerate(tenant, committed.id);
    for (const { kind, id } of order.subjects)
      if (kind === 'signing_key') this.heirs.replenish(tenant, id);
    if (kinds.has('enforcement_point') || kinds.has('enrolment_key')) this.endUsers.request();
  }

  private orderOf(
    by: By,
    { reason, ticket }: Pick<KillRequest, 'reason' | 'ticket'>,
    { idempotency }: OrderCall,
  ): Omit<Order, 'action' | 'only' | 'subjects'> {
    return {
      id: newId('kill'),
      reason,
      ticket: ticket ?? null,
      actor: actorOf(by),
      caller: callerOf(by),
      idempotency: idempotency && { principal_id: by.id, ...idempotency },
      audit_id: newId('audit'),
    };
  }
}
