import {
  allRequests,
  CallBatch,
  MAX_MESSAGE_BYTES,
  typOf,
  type CallRecord,
  type CallReply,
} from '@sever/protocol';
import type { Logger } from 'pino';
import { type Broker, type BrokerMessage } from '../broker/broker';
import { type EnforcementEvents } from '../stream/enforcement-events';
import { requestFrom, type EpIdentity } from '../stream/ep-request';
import { type EpSignatures } from '../stream/ep-signatures';
import { type Turn } from '../stream/turn';
import { dayOf, type CallDays } from './call-days';
import { type CallStats, type CallRefusal } from './call-stats';
import { type CallStore } from './call.store';
import { type FreeSpace } from './free-space';
import { Limited } from './limited';

/** Records take few of the connections that agents' requests share, however many enforcement points send them. */
const AT_ONCE = 2;
const MOST_WAITING = 64;
/** Of Postgres: a value that it cannot take, or a row that breaks a rule. Sent again, it would break it again. */
const BROKEN = /^2[23]/;
/** Disk or memory is full, there. */
const FULL = /^53[12]00$/;

const DETAILS: Record<CallRefusal, string> = {
  malformed: 'Not a batch of call records that this enforcement point has signed.',
  too_large: `A batch has at most ${MAX_MESSAGE_BYTES} bytes.`,
  no_space: 'There is too little space beside the database; send it again later.',
  busy: 'Records cannot be stored now; send it again later.',
};

export interface TakeCallsPorts {
  readonly broker: Broker;
  readonly signatures: EpSignatures;
  readonly turn: Turn;
  readonly store: CallStore;
  readonly days: CallDays;
  readonly space: FreeSpace;
  readonly stats: CallStats;
  readonly events: EnforcementEvents;
  /** Bytes. */
  readonly minFree: number;
  readonly log: Logger;
}

/**
 * Takes records of calls. Whose they are follows from the subject or the access key alone, and the signature. A record told
 * again changes nothing: its id is in the key.
 */
export class TakeCalls {
  private readonly limited = new Limited(AT_ONCE, MOST_WAITING);
  private subscription: { unsubscribe(): void } | undefined;

  constructor(private readonly ports: TakeCallsPorts) {}

  onApplicationBootstrap(): void {
    this.subscription = this.ports.broker.subscribe(allRequests('call'), (message) =>
      this.answer(message),
    );
  }

  beforeApplicationShutdown(): void {
    this.subscription?.unsubscribe();
  }

  /** Whichever road it came by. Never rejects. */
  async take(from: EpIdentity, jws: string): Promise<CallReply> {
    if (jws.length > MAX_MESSAGE_BYTES) return this.refuse('too_large');
    try {
      const batch = await this.ports.signatures.verify(from, jws, { [typOf('call')]: CallBatch });
      if (batch === null) return this.refuse('malformed');
      if (!(await this.hasSpace(from))) return this.refuse('no_space');
      return (await this.limited.run(() => this.keep(from, batch.records))) ?? this.refuse('busy');
    } catch (error) {
      const code = String((error as { code?: unknown }).code);
      this.ports.log.warn({ err: error, ...from }, 'could not store records of calls');
      return this.refuse(BROKEN.test(code) ? 'malformed' : FULL.test(code) ? 'no_space' : 'busy');
    }
  }

  private async answer(message: BrokerMessage): Promise<void> {
    const from = requestFrom(message);
    if (from === null || !this.ports.turn.isMine(from.reply)) return;
    const reply = await this.take(from, Buffer.from(message.data).toString('latin1'));
    this.ports.broker.publish(from.reply, JSON.stringify(reply));
  }

  private async keep(
    { tenant, ep }: EpIdentity,
    records: readonly CallRecord[],
  ): Promise<CallReply> {
    const { store, days, stats } = this.ports;
    const kept: CallRecord[] = [];
    const touched = new Set<number>();
    for (const record of records) {
      const day = dayOf(record.started_at);
      if (!(await days.isKept(day))) continue;
      kept.push(record);
      touched.add(day);
    }
    await days.prepare(touched);
    const stored = kept.length === 0 ? 0 : await store.insert(tenant, ep, kept);
    const counts = {
      ...{ stored, known: kept.length - stored, outside: records.length - kept.length },
    };
    stats.records.stored += counts.stored;
    stats.records.known += counts.known;
    stats.records.outside += counts.outside;
    return { type: 'calls-taken', v: 1, ...counts };
  }

  private async hasSpace({ tenant, ep: epId }: EpIdentity): Promise<boolean> {
    const { space, stats, minFree, log, events } = this.ports;
    const free = await space.bytes();
    const stopped = free !== null && free < minFree;
    stats.free = free;
    if (stopped && !stats.stopped) {
      const detail = `no records of calls are taken: ${free} bytes are free beside the database, below SEVER_CALLS_MIN_FREE`;
      log.error({ alarm: 'calls_stopped', free, minFree }, detail);
      events.alarms.next({ kind: 'calls_stopped', tenant, epId, detail });
    }
    stats.stopped = stopped;
    return !stopped;
  }

  private refuse(code: CallRefusal): CallReply {
    this.ports.stats.refused[code] += 1;
    return { type: 'calls-refused', v: 1, code, detail: DETAILS[code] };
  }
}
