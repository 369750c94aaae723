import { Injectable } from '@nestjs/common';
import { newId, type Kill, type KillRequest, type SubjectRef } from '@sever/protocol';
import { actorOf } from '../access/actor';
import type { AgentPrincipal, KeyPrincipal } from '../access/principal';
import { Failpoints } from '../config/failpoints';
import { EndUsers } from '../enforcement/end-users';
import { isRefusal, refused } from '../lineage/refusal';
import { Cascades } from './cascades';
import { CommitOrders, type CommittedOrder } from './commit-orders';
import { callerOf, readKill, type Order } from './order';
import { Publication } from './publication';
import { KillRecords } from './kill-records';

/**
 * A kill, from the order to the proof: one transaction raises the floor and appends the entry; COMMIT makes it true;
 * the entry goes out; receipts come back; the reply says what is proven at that moment, and no more.
 */
@Injectable()
export class KillSubjects {
  constructor(
    private readonly orders: CommitOrders,
    private readonly publication: Publication,
    private readonly cascades: Cascades,
    private readonly records: KillRecords,
    private readonly failpoints: Failpoints,
    private readonly endUsers: EndUsers,
  ) {}

  async kill(
    by: KeyPrincipal | AgentPrincipal,
    asked: KillRequest,
    call: { idempotency: { key: string; fingerprint: string } | null; waitMs: number },
  ): Promise<Kill> {
    return this.carryOut(
      by,
      this.toOrder(by, asked, readKill(by, asked), call.idempotency),
      call.waitMs,
    );
  }

  /** `DELETE /v1/enforcement-points/:id`. @throws ProblemError `not_found` */
  async revokeEnforcementPoint(by: KeyPrincipal, id: string): Promise<Kill> {
    const subject = { kind: 'enforcement_point', id };
    return this.carryOut(by, this.toOrder(by, { reason: 'removed' }, [subject], null), 0);
  }

  private async carryOut(
    by: KeyPrincipal | AgentPrincipal,
    order: Order,
    waitMs: number,
  ): Promise<Kill> {
    const outcome = await this.orders.submit(by.tenant, order);
    if (isRefusal(outcome)) throw refused(outcome);
    const id = 'replay' in outcome ? outcome.replay : outcome.id;
    if ('entries' in outcome) await this.spread(by.tenant, outcome);
    if (order.subjects.some(({ kind }) => kind === 'enforcement_point')) this.endUsers.request();
    return this.records.contained(by.tenant, id, waitMs);
  }

  /** After the commit nothing here may fail the kill: whatever is left undone, the relay and the cascades pick up. */
  private async spread(tenant: string, committed: CommittedOrder): Promise<void> {
    this.publication.publish(tenant, committed);
    await this.failpoints.hit('kill.after_publish');
    this.cascades.enumerate(tenant, committed.id);
  }

  private toOrder(
    by: KeyPrincipal | AgentPrincipal,
    asked: KillRequest,
    subjects: SubjectRef[],
    idempotency: { key: string; fingerprint: string } | null,
  ): Order {
    return {
      id: newId('kill'),
      action: 'kill',
      subjects,
      only: asked.only ?? false,
      reason: asked.reason,
      ticket: asked.ticket ?? null,
      actor: actorOf(by),
      caller: callerOf(by),
      idempotency: idempotency && { principal_id: by.id, ...idempotency },
      audit_id: newId('audit'),
    };
  }
}
