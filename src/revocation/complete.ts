import { Injectable } from '@nestjs/common';
import { newId, ProblemError } from '@sever/protocol';
import { actorOf } from '../access/actor';
import type { AgentPrincipal, KeyPrincipal } from '../access/principal';
import { isRefusal, refused } from '../lineage/refusal';
import { Cascades } from './cascades';
import { CommitOrders } from './commit-orders';
import { callerOf } from './order';
import { Publication } from './publication';

/**
 * Ends an agent's own grants and credentials (its living descendants go on, and stay killable through it), or everything
 * under a task. Travels through the same stream as a kill: one floor, of the agent's base grant or of the task.
 */
@Injectable()
export class CompleteSubject {
  constructor(
    private readonly orders: CommitOrders,
    private readonly publication: Publication,
    private readonly cascades: Cascades,
  ) {}

  /** Completing what has completed changes nothing and is no error. */
  async complete(
    by: KeyPrincipal | AgentPrincipal,
    kind: 'agent' | 'task',
    id: string,
  ): Promise<void> {
    if (by.kind === 'agent' && by.toolsOnly)
      throw new ProblemError(
        'forbidden',
        "A token for tools only cannot complete; use the agent's own token.",
      );
    const outcome = await this.orders.submit(by.tenant, {
      id: newId('kill'),
      action: 'complete',
      subjects: [{ kind, id }],
      only: false,
      reason: 'completed',
      ticket: null,
      actor: actorOf(by),
      caller: callerOf(by),
      idempotency: null,
      audit_id: newId('audit'),
    });
    if (isRefusal(outcome)) throw refused(outcome);
    if (!('entries' in outcome)) return;
    this.publication.publish(by.tenant, outcome);
    this.cascades.enumerate(by.tenant, outcome.id);
  }
}
