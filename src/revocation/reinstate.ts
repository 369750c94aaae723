import { Injectable } from '@nestjs/common';
import {
  isId,
  ProblemError,
  SUSPENDABLE_ONLY_KINDS,
  type ReinstateReply,
  type ReinstateRequest,
} from '@sever/protocol';
import { actorOf } from '../access/actor';
import type { KeyPrincipal } from '../access/principal';
import { EndUsers } from '../enforcement/end-users';
import { isRefusal, refused } from '../lineage/refusal';
import { SigningKeys } from '../signing/signing-keys';
import { readReason, readSubject } from './read-order';
import { ReleaseOrders } from './release-orders';

/**
 * Gives a killed subject a new generation. Exactly it comes back: its old credentials and descendants carry the old
 * generation and stay dead. It takes a second person, who names every kill that stands.
 */
@Injectable()
export class ReinstateSubject {
  constructor(
    private readonly releases: ReleaseOrders,
    private readonly keys: SigningKeys,
    private readonly endUsers: EndUsers,
  ) {}

  /** @throws ProblemError `not_killed`, `not_a_kill_of_it`, `other_kills_stand`, `second_person_required`, `ancestor_revoked` */
  async reinstate(
    by: KeyPrincipal,
    subject: { kind: string; id: string },
    asked: ReinstateRequest,
  ): Promise<ReinstateReply> {
    readReason(asked.reason);
    refuseUnkillable(subject.kind);
    readSubject(subject, 'kill');
    const kills = killsNamed(asked);
    const answer = await this.releases.reinstate(by.tenant, {
      kind: subject.kind,
      subject_id: subject.id,
      kill_ids: kills,
      reason: asked.reason,
      actor: actorOf(by),
    });
    if (isRefusal(answer)) throw refused(answer);
    if (subject.kind === 'signing_key') this.keys.forget(by.tenant);
    if (['enforcement_point', 'enrolment_key'].includes(subject.kind)) this.endUsers.request();
    return {
      subject,
      generation: answer.generation,
      released: kills,
      reason: asked.reason,
      created_at: new Date(answer.created_at).toISOString(),
      created_by: actorOf(by),
    };
  }
}

function refuseUnkillable(kind: string): void {
  if ((SUSPENDABLE_ONLY_KINDS as readonly string[]).includes(kind))
    throw new ProblemError('not_killed', `A ${kind} is never killed; lift its suspension instead.`);
  if (['token', 'ref', 'trace'].includes(kind))
    throw new ProblemError(
      'bad_subject',
      `subject: a ${kind} stands for others; reinstate the agent or credential that the kill names.`,
    );
}

function killsNamed({ kill_id, kill_ids }: ReinstateRequest): string[] {
  if ((kill_id === undefined) === (kill_ids === undefined))
    throw new ProblemError(
      'unprocessable',
      'kill_id: name the kill to release, or all of them as kill_ids; GET /v1/kills?subject=kind:id lists them.',
    );
  const kills = [...new Set(kill_ids ?? [kill_id as string])];
  const bad = kills.find((id) => !isId('kill', id));
  if (bad !== undefined)
    throw new ProblemError('bad_request', 'kill_id: not the form of an id of a kill.');
  return kills;
}
