import { Inject, Injectable } from '@nestjs/common';
import { ProblemError, type Kill, type SubjectAsked } from '@sever/protocol';
import type { Logger } from 'pino';
import { Failpoints } from '../../config/failpoints';
import { LOG } from '../../config/config.module';
import { KillPool } from '../../database/kill-pool';
import { isDatabaseAway, within } from '../../database/reach';
import { refused } from '../../lineage/refusal';
import { Replica } from '../../stream/replica';
import type { CommittedOrder, Outcome } from '../commit-orders';
import type { Order } from '../order';
import { Announcements } from './announcements';
import { EmergencyBook } from './emergency-book';
import { EmergencyJournal } from './emergency-journal';
import { EMERGENCY_LIFE_MS, type OpenEmergency } from './emergency-order';
import { EmergencyRecords } from './emergency-records';
import { EmergencyReplay } from './emergency-replay';
import { NameSubjects, type Named } from './name-subjects';

/** So long after a request arrived the database may take to answer it. */
const PATIENCE_MS = 1_200;
/** A little longer while it answers others: it lives, and something in it holds this order up. */
const HELD_UP_MS = 2_000;
/** And longer while it carries out other kills: this one has its turn. */
const QUEUED_MS = 2_400;
/** An answer that recent shows that it lives. */
const SIGN_OF_LIFE_MS = 600;
const LOOK_AGAIN_MS = 50;
/** So long it may take when there is no other road for the order. */
const GIVE_UP_MS = 2_600;
const TELL_WITHIN_MS = 500;
/** A disk that takes longer does not keep the announcement waiting, only the answer, and that not for ever. */
const WRITE_WITHIN_MS = 300;
const ANSWER_WITHIN_MS = 2_500;
/** Reading how a committed order stands, beyond the time that the caller waits for its containment. */
const READ_WITHIN_MS = 900;

export interface EmergencyCall {
  readonly tenant: string;
  /** The order but for its subjects; its id is that of both roads. */
  readonly terms: Omit<Order, 'subjects'>;
  readonly asked: readonly SubjectAsked[];
  /** `performance.now()` when the request was taken up. */
  readonly arrivedAt: number;
}

/** By the database, as it says, or without it. */
export type Taken = { readonly outcome: Outcome } | { readonly emergency: Kill };

/**
 * The road of a kill when the database is away. The usual transaction is begun in any case; when it finds nobody, or has
 * not answered in time, the order is put on disk, announced, and answered with what is true then; and it is committed under
 * the same id when the database is back, by that transaction or by a replay of it.
 */
@Injectable()
export class EmergencyRoad {
  constructor(
    private readonly book: EmergencyBook,
    private readonly journal: EmergencyJournal,
    private readonly announcements: Announcements,
    private readonly replay: EmergencyReplay,
    private readonly records: EmergencyRecords,
    private readonly names: NameSubjects,
    private readonly pool: KillPool,
    private readonly replica: Replica,
    private readonly failpoints: Failpoints,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  /** Given by whoever commits and spreads orders without an outage. */
  commitWith(commit: (tenant: string, order: Order) => Promise<Outcome>): void {
    this.replay.commitWith(commit);
  }

  /**
   * @param normal resolves the subjects, commits the order and spreads it
   * @throws ProblemError `unavailable` when the order can go neither road; whether it was committed is then not known
   */
  async race(call: EmergencyCall, normal: () => Promise<Outcome>): Promise<Taken> {
    const known = this.book.byKey(call.tenant, call.terms.idempotency);
    if (known !== undefined) return this.again(known, call);
    const begun = normal();
    if (await this.answers(begun, call.arrivedAt)) return { outcome: await begun };
    if (call.terms.caller.kind !== 'operator')
      return { outcome: await this.orGiveUp(begun, call.arrivedAt, () => dependsOnTheTree()) };
    let named: Named;
    try {
      named = await this.names.name(call.tenant, call.terms, call.asked);
    } catch (error) {
      return { outcome: await this.orGiveUp(begun, call.arrivedAt, () => error) };
    }
    return this.take(call, named, begun);
  }

  /**
   * How a committed order stands, or, when the database has fallen silent since, that it is committed and no more.
   *
   * @param outcome absent: nothing is known but what the database says
   */
  async orCommitted(
    reading: Promise<Kill>,
    waitMs: number,
    committed: { tenant: string; order: Order; outcome: CommittedOrder } | undefined,
  ): Promise<Kill> {
    try {
      return await within(waitMs + READ_WITHIN_MS, reading);
    } catch (error) {
      if (committed === undefined || !isDatabaseAway(error)) throw error;
      const { tenant, order, outcome } = committed;
      return this.records.committed(tenant, order, outcome);
    }
  }

  /** The key was used during this outage: the same kill, wherever it stands now. */
  private async again(known: OpenEmergency, { terms }: EmergencyCall): Promise<Taken> {
    const { order, tenant } = known;
    if (order.idempotency?.fingerprint !== terms.idempotency?.fingerprint)
      throw refused({ problem: 'idempotency_mismatch' });
    await within(PATIENCE_MS, this.replay.look()).catch(() => undefined);
    const open = this.book.find(tenant, order.id);
    return open ? { emergency: this.records.open(open) } : { outcome: { replay: order.id } };
  }

  /** Settled, in whatever way but by the database's absence. Looks the other way at once when nobody listens there. */
  private async answers(begun: Promise<Outcome>, arrivedAt: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    let stop: (() => void) | undefined;
    const gone = new Promise<boolean>((resolve) => {
      const look = (): void => {
        const left = this.patienceUntil(arrivedAt) - this.replica.monotonic();
        if (left <= 0) resolve(false);
        else timer = setTimeout(look, Math.min(left, LOOK_AGAIN_MS));
      };
      const patience = arrivedAt + PATIENCE_MS - this.replica.monotonic();
      timer = setTimeout(look, Math.max(0, patience));
      stop = this.pool.onRefused(() => resolve(false));
    });
    const settled = begun.then(
      () => true,
      (error: unknown) => !isDatabaseAway(error),
    );
    try {
      return await Promise.race([settled, gone]);
    } finally {
      clearTimeout(timer);
      stop?.();
    }
  }

  private patienceUntil(arrivedAt: number): number {
    const { kills, everything } = this.pool.quiet();
    if (kills < SIGN_OF_LIFE_MS) return arrivedAt + QUEUED_MS;
    return arrivedAt + (everything < SIGN_OF_LIFE_MS ? HELD_UP_MS : PATIENCE_MS);
  }

  /** There is no other road: the database has a little more time, then the caller is told. */
  async orGiveUp<T>(
    begun: Promise<T>,
    arrivedAt = this.replica.monotonic(),
    why: () => unknown = outcomeUnknown,
  ): Promise<T> {
    const left = Math.max(0, arrivedAt + GIVE_UP_MS - this.replica.monotonic());
    return within(left, begun).catch((error: unknown) => {
      throw isDatabaseAway(error) ? why() : error;
    });
  }

  private async take(
    { tenant, arrivedAt }: EmergencyCall,
    { order, subjects, warnings }: Named,
    begun: Promise<Outcome>,
  ): Promise<{ emergency: Kill }> {
    const issuedAt = this.replica.wall();
    const emergency = this.book.add({
      ...{ tenant, order, subjects, warnings, issuedAt },
      notAfter: issuedAt + EMERGENCY_LIFE_MS,
      journaled: false,
      published: false,
      own: true,
    });
    this.follow(emergency, begun);
    await this.failpoints.hit('emergency.before_journal');
    const written = this.journal
      .append(emergency)
      .then((journaled) => (emergency.journaled = journaled));
    await within(WRITE_WITHIN_MS, written).catch(() => undefined);
    await this.failpoints.hit('emergency.after_journal');
    emergency.published = await within(TELL_WITHIN_MS, this.announcements.tell(emergency)).catch(
      (error: unknown) => {
        this.log.error({ err: error, kill_id: order.id }, 'could not announce an emergency');
        return false;
      },
    );
    await this.failpoints.hit('emergency.after_publish');
    const left = Math.max(0, arrivedAt + ANSWER_WITHIN_MS - this.replica.monotonic());
    await within(left, written).catch(() => undefined);
    const { journaled, published } = emergency;
    this.log.error(
      {
        alarm: 'emergency_kill',
        kill_id: order.id,
        subjects,
        actor: order.actor.id,
        journaled,
        published,
      },
      'a kill was taken without the database',
    );
    return { emergency: this.records.open(emergency) };
  }

  /** The transaction keeps trying; if it succeeds after all, that is the end of the emergency. */
  private follow(emergency: OpenEmergency, begun: Promise<Outcome>): void {
    emergency.pending = begun
      .then((outcome) => this.replay.settle(emergency, outcome))
      .catch((error: unknown) => {
        if (!isDatabaseAway(error))
          this.log.error(
            { err: error, kill_id: emergency.order.id },
            'could not close an emergency',
          );
      })
      .finally(() => delete emergency.pending);
  }
}

function outcomeUnknown(): ProblemError {
  return new ProblemError(
    'unavailable',
    'The database does not answer, and whether the order was committed is not known; look at its record, and send it again if it was not.',
  );
}

function dependsOnTheTree(): ProblemError {
  return new ProblemError(
    'unavailable',
    'The database does not answer, and what a service may stop depends on it. Use the bootstrap key, or the key of a person or a playbook. If the order was committed nevertheless, the same Idempotency-Key finds it later.',
  );
}
