import { Injectable } from '@nestjs/common';
import { ProblemError, type KillPlan, type KillRequest, type SubjectRef } from '@sever/protocol';
import type { AgentPrincipal, KeyPrincipal } from '../access/principal';
import { callerOf } from './order';
import { PlanStore } from './plan.store';
import { readOrder } from './read-order';
import { ResolveSubjects } from './resolve-subjects';

/** What an order would cover if it were given now. Changes nothing; the same rights as the order itself. */
@Injectable()
export class PreviewKill {
  constructor(
    private readonly resolving: ResolveSubjects,
    private readonly plans: PlanStore,
  ) {}

  async preview(by: KeyPrincipal | AgentPrincipal, request: KillRequest): Promise<KillPlan> {
    const { asked, action, only } = readOrder(by, request);
    const { subjects, not_found, resolved, matched, nearest } = await this.resolving.resolve(
      by.tenant,
      asked,
    );
    const known: SubjectRef[] = [];
    const missing = [...not_found];
    for (const subject of subjects)
      switch (await this.plans.standing(by.tenant, action, only, subject, callerOf(by))) {
        case 'known':
          known.push(subject);
          break;
        case 'unknown':
          missing.push(subject);
          break;
        case 'not_yours':
          throw new ProblemError(
            'not_a_descendant',
            'The caller may only touch itself and what stands below it.',
            { subject },
          );
      }
    if (known.length === 0)
      throw new ProblemError('not_found', 'There is no such object in this tenant.', {
        not_found: missing,
      });
    return {
      subjects: known,
      not_found: missing,
      ...(resolved && { resolved }),
      ...(matched !== undefined && { matched }),
      ...(nearest && { nearest }),
      ...(await this.plans.read(by.tenant, only, known)),
    };
  }
}
