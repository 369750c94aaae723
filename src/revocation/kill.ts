import { Injectable } from '@nestjs/common';
import { newId, ProblemError, type Kill, type KillRequest } from '@sever/protocol';
import { actorOf } from '../access/actor';
import type { AgentPrincipal, KeyPrincipal } from '../access/principal';
import { Failpoints } from '../config/failpoints';
import { EndUsers } from '../enforcement/end-users';
import { isRefusal, refused } from '../lineage/refusal';
import { SigningKeys } from '../signing/signing-keys';
import { Cascades } from './cascades';
import { CommitOrders, type CommittedOrder } from './commit-orders';
import { KeyHeirs } from './key-heirs';
import { KillRecords } from './kill-records';
import { callerOf, type Order } from './order';
import { Publication } from './publication';
import { readOrder, readReason, readSubject } from './read-order';
import { ResolveSubjects } from './resolve-subjects';

type By = KeyPrincipal | AgentPrincipal;

/** How the call came: whether it is a repetition, and how long it waits for the proof. */
export interface OrderCall {
  readonly idempotency: { readonly key: string; readonly fingerprint: string } | null;
  readonly waitMs: number;
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
  ) {}

  async kill(by: By, request: KillRequest, call: OrderCall): Promise<Kill> {
    const { asked, ...terms } = readOrder(by, request);
    const subjects = await this.resolving.resolve(by.tenant, asked);
    return this.carryOut(
      by,
      {
        ...this.orderOf(by, request, call),
        ...terms,
        ...subjects,
      },
      call.waitMs,
    );
  }

  /** `DELETE /v1/enforcement-points/:id`. @throws ProblemError `not_found` */
  async revokeEnforcementPoint(by: KeyPrincipal, id: string): Promise<Kill> {
    const subjects = [{ kind: 'enforcement_point', id }];
    const call = { idempotency: null, waitMs: 0 };
    const order = { action: 'kill', only: false, subjects } as const;
    return this.carryOut(by, { ...this.orderOf(by, { reason: 'removed' }, call), ...order }, 0);
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

  private async carryOut(by: By, order: Order, waitMs: number): Promise<Kill> {
    const { id } = await this.commit(by.tenant, order);
    return this.records.contained(by.tenant, id, waitMs);
  }

  /**
   * Commits an order whose right is proven already, and tells everybody of it.
   *
   * @returns its id, and whether it was this call that committed it
   * @throws ProblemError when the database refuses it
   */
  async commit(tenant: string, order: Order): Promise<{ id: string; fresh: boolean }> {
    await this.prepareHeirs(tenant, order);
    const outcome = await this.orders.submit(tenant, order);
    if (isRefusal(outcome)) throw refused(outcome);
    const fresh = 'entries' in outcome;
    if (fresh) await this.spread(tenant, order, outcome);
    return { id: 'replay' in outcome ? outcome.replay : outcome.id, fresh };
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
