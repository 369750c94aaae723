import { allRequests, Leave, Receipt, requestSender, typOf } from '@sever/protocol';
import type { Logger } from 'pino';
import { type Broker, type BrokerMessage } from '../broker/broker';
import { Batcher } from '../stream/batcher';
import { type BootStore } from '../stream/boot.store';
import { type EnforcementEvents, type EnforcementAlarm } from '../stream/enforcement-events';
import type { EpIdentity } from '../stream/ep-request';
import { type EpSignatures } from '../stream/ep-signatures';
import { type Replica } from '../stream/replica';
import { type BootActivity } from './boot-activity';
import { judgeReceipt, onceEachStep, StoredSteps, type ReceiptFacts } from './receipt-rules';
import { type ReceiptStore, type ArrivedReceipt } from './receipt.store';

const MAX_RECEIPT_BYTES = 512 * 1_024;
const SHAPES = { [typOf('receipt')]: Receipt, [typOf('leave')]: Leave };

export interface ReceiptsPorts {
  readonly broker: Broker;
  readonly store: ReceiptStore;
  readonly boots: BootStore;
  readonly signatures: EpSignatures;
  readonly activity: BootActivity;
  readonly events: EnforcementEvents;
  readonly replica: Replica;
  readonly log: Logger;
}

/** `does_not_hold`: signed, and yet no evidence, such as that of a boot that never entered. */
export type ReceiptOutcome = 'taken' | 'not_signed' | 'does_not_hold';

/**
 * Takes what enforcement points sign about themselves. Who speaks is known from the subject that the broker let them
 * publish on; the signature makes it evidence. Whatever does not hold is dropped: a missing receipt leaves a kill
 * pending, a false one would call it done.
 */
export class Receipts {
  private readonly arrived: Batcher<ArrivedReceipt, boolean>;
  private readonly stored = new StoredSteps();
  private subscription: { unsubscribe(): void } | undefined;

  constructor(private readonly ports: ReceiptsPorts) {
    this.arrived = new Batcher((batch) => this.store(batch));
  }

  onApplicationBootstrap(): void {
    this.subscription = this.ports.broker.subscribe(allRequests('receipt'), (message) =>
      this.hear(message),
    );
  }

  beforeApplicationShutdown(): void {
    this.subscription?.unsubscribe();
  }

  /**
   * Whichever road it came by.
   *
   * @param arrivedAt this replica's monotonic clock, milliseconds
   */
  async take(from: EpIdentity, jws: string, arrivedAt: number): Promise<ReceiptOutcome> {
    const said =
      jws.length > MAX_RECEIPT_BYTES
        ? null
        : await this.ports.signatures.verify<typeof Receipt | typeof Leave>(from, jws, SHAPES);
    if (said === null) {
      this.alarm('bad_signature', from.tenant, from.ep, 'a receipt that it did not sign');
      return 'not_signed';
    }
    if (said.type === 'leave') {
      await this.leave(said);
      return 'taken';
    }
    const { tenant, ep: epId, halts } = said;
    if (halts !== undefined) this.ports.events.halts.next({ tenant, epId, halts });
    if (this.stored.has(said)) {
      this.ports.activity.touch(said.tenant, said.boot_id);
      return 'taken';
    }
    return (await this.arrived.add({ receipt: said, jws, arrivedAt })) ? 'taken' : 'does_not_hold';
  }

  private async hear({ subject, data }: BrokerMessage): Promise<void> {
    const arrivedAt = this.ports.replica.monotonic();
    const from = requestSender(subject);
    if (from === null || data.length > MAX_RECEIPT_BYTES) return;
    await this.take(from, Buffer.from(data).toString('latin1'), arrivedAt);
  }

  private async leave({ tenant, ep, boot_id: bootId }: Leave): Promise<void> {
    if (await this.ports.boots.leave(tenant, ep, bootId))
      this.ports.events.boots.next({ tenant, epId: ep, bootId, change: 'left' });
  }

  /** @returns for each, whether it holds */
  private async store(batch: readonly ArrivedReceipt[]): Promise<boolean[]> {
    const standings = await this.ports.store.standings(batch);
    const holds = batch.map(({ receipt }, at) => this.holds(receipt, standings[at] ?? null));
    const good = batch.filter((_, at) => holds[at]);
    if (good.length > 0) {
      await this.ports.store.insert(onceEachStep(good), this.ports.replica.id);
      for (const { receipt } of good) this.tell(receipt);
    }
    return holds;
  }

  private holds(receipt: Receipt, facts: ReceiptFacts | null): boolean {
    const verdict = judgeReceipt(receipt, facts);
    if (!verdict.holds && verdict.alarm !== null)
      this.alarm(verdict.alarm.kind, receipt.tenant, receipt.ep, verdict.alarm.detail);
    return verdict.holds;
  }

  private tell(receipt: Receipt): void {
    const { tenant, ep, boot_id: bootId, epoch, applied, nacks, in_flight: inFlight } = receipt;
    this.stored.add(receipt);
    this.ports.activity.touch(tenant, bootId);
    this.ports.events.receipts.next({
      ...{ tenant, epId: ep, bootId, epoch, applied, nacks },
      killIds: Object.keys(inFlight),
    });
  }

  private alarm(
    kind: EnforcementAlarm['kind'],
    tenant: string,
    epId: string,
    detail: string,
  ): void {
    this.ports.log.error({ alarm: kind, tenant, ep: epId }, detail);
    this.ports.events.alarms.next({ kind, tenant, epId, detail });
  }
}
