import { Injectable } from '@nestjs/common';
import { ProblemError, type Kill } from '@sever/protocol';
import { actorOf } from '../access/actor';
import type { KeyPrincipal } from '../access/principal';
import { isRefusal, refused } from '../lineage/refusal';
import { KillRecords } from './kill-records';
import { readReason } from './read-order';
import { ReleaseOrders } from './release-orders';

/** Lifts a suspension: a lead any of them, a responder what it suspended itself, within the tenant's window. */
@Injectable()
export class LiftSuspension {
  constructor(
    private readonly releases: ReleaseOrders,
    private readonly records: KillRecords,
  ) {}

  /** One that is lifted already is no error. @throws ProblemError `not_a_suspension`, `forbidden` */
  async lift(by: KeyPrincipal, id: string, reason: string): Promise<Kill> {
    const answer = await this.releases.lift(by.tenant, {
      id,
      reason: readReason(reason),
      actor: actorOf(by),
      own_only: !by.roles.has('lead'),
    });
    if (isRefusal(answer)) {
      if (answer.problem === 'forbidden')
        throw new ProblemError('forbidden', WHY[String(answer.why)] ?? WHY.not_yours);
      throw refused(answer);
    }
    return this.records.get(by.tenant, id);
  }
}

const WHY = {
  not_yours: 'This suspension was ordered by somebody else; a lead can lift it.',
  window_over: 'Your time to undo this suspension is over; a lead can lift it.',
} as Record<string, string> & { not_yours: string };
