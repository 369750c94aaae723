import { allRequests, LeaseRequest, type LeaseReply } from '@sever/protocol';
import type { Logger } from 'pino';
import { type Broker, type BrokerMessage } from '../broker/broker';
import { Batcher } from '../stream/batcher';
import { type EnforcementEvents } from '../stream/enforcement-events';
import { parseMessage, requestFrom } from '../stream/ep-request';
import { type Turn } from '../stream/turn';
import { type BootActivity } from './boot-activity';
import { judgeLease, leaseGrant, leaseRefusal, type LeaseQuestion } from './lease-rules';
import { type LeaseSigner } from './lease-signer';
import { type LeaseStore, type LeaseStanding } from './lease.store';

const MAX_REQUEST_BYTES = 2_048;

export interface LeasesPorts {
  readonly broker: Broker;
  readonly store: LeaseStore;
  readonly signer: LeaseSigner;
  readonly activity: BootActivity;
  readonly events: EnforcementEvents;
  readonly turn: Turn;
  readonly log: Logger;
}

/**
 * Gives leases: the permission to admit at all, for a few seconds. Each says where the head was after the request had
 * arrived, so an enforcement point that has applied up to there misses nothing that was committed before it asked.
 * Without the primary there is no answer, and strict enforcement points go dark.
 */
export class Leases {
  private readonly reads: Batcher<LeaseQuestion, LeaseStanding | null>;
  private subscription: { unsubscribe(): void } | undefined;

  constructor(private readonly ports: LeasesPorts) {
    this.reads = new Batcher((questions) => ports.store.read(questions));
  }

  onApplicationBootstrap(): void {
    this.subscription = this.ports.broker.subscribe(allRequests('lease'), (message) =>
      this.answer(message),
    );
  }

  beforeApplicationShutdown(): void {
    this.subscription?.unsubscribe();
  }

  /** Whichever road the question came by. @returns `null` where there is no key to answer under */
  async give(question: LeaseQuestion): Promise<string | null> {
    const standing = await this.reads.add(question);
    if (standing === null) return null;
    const reply = await this.decide(question, standing);
    return this.ports.signer.sign(standing.sealedKey, reply);
  }

  private async answer(message: BrokerMessage): Promise<void> {
    const from = requestFrom(message);
    const request = parseMessage(LeaseRequest, message.data, MAX_REQUEST_BYTES);
    if (from === null || request === null || !this.ports.turn.isMine(from.reply)) return;
    const reply = await this.give({ tenant: from.tenant, ep: from.ep, request });
    if (reply !== null) this.ports.broker.publish(from.reply, reply);
  }

  private async decide(question: LeaseQuestion, standing: LeaseStanding): Promise<LeaseReply> {
    const { tenant, ep, request } = question;
    const verdict = judgeLease(request, standing);
    if (verdict.refused !== null) {
      if (verdict.divergence !== null) this.alarm(question, verdict.divergence);
      return leaseRefusal(question, verdict.refused);
    }
    if (verdict.renewFirst && !(await this.ports.store.renew(tenant, request.boot_id)))
      return leaseRefusal(question, 'boot_unknown');
    this.ports.activity.touch(tenant, request.boot_id);
    return leaseGrant({ tenant, ep, request }, standing);
  }

  private alarm({ tenant, ep, request }: LeaseQuestion, detail: string): void {
    this.ports.log.error({ alarm: 'divergence', tenant, ep, bootId: request.boot_id }, detail);
    this.ports.events.alarms.next({ kind: 'divergence', tenant, epId: ep, detail });
  }
}
