import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import type { Logger } from 'pino';
import { LOG } from '../../config/config.module';
import { isDatabaseAway, within } from '../../database/reach';
import { isRefusal } from '../../lineage/refusal';
import { Relay } from '../../stream/relay';
import { Replica } from '../../stream/replica';
import type { Outcome } from '../commit-orders';
import type { Order } from '../order';
import { Announcements } from './announcements';
import { EmergencyBook } from './emergency-book';
import { EmergencyJournal } from './emergency-journal';
import type { EmergencyOrder, OpenEmergency } from './emergency-order';
import { EmergencyStore, type EmergencyRefusal } from './emergency.store';

const LOOK_MS = 250;
/** Each is told again this often while it stands: to who comes late, and to a broker that was away. */
const TELL_AGAIN_MS = 1_000;
const PROBE_WITHIN_MS = 1_000;
/** Whoever took an order commits it first; a replica that only heard it waits this long for that. */
const AFTER_YOU_MS = 2_000;

type Commit = (tenant: string, order: Order) => Promise<Outcome>;

/**
 * Brings emergencies into the database as soon as it answers. Any replica that knows one does it: the order has its id
 * since before the outage, so that it is committed once, whoever is first.
 */
@Injectable()
export class EmergencyReplay implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly timers: NodeJS.Timeout[] = [];
  private subscription: { unsubscribe(): void } | undefined;
  private commit: Commit | undefined;
  private answersSince: number | undefined;
  private running: Promise<void> | undefined;
  private closed = false;

  constructor(
    private readonly book: EmergencyBook,
    private readonly journal: EmergencyJournal,
    private readonly store: EmergencyStore,
    private readonly announcements: Announcements,
    private readonly relay: Relay,
    private readonly replica: Replica,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  /** How an order is committed and spread; from whoever does that without an outage. */
  commitWith(commit: Commit): void {
    this.commit = commit;
  }

  async onApplicationBootstrap(): Promise<void> {
    this.subscription = this.announcements.listen((emergency, jws) => this.heard(emergency, jws));
    for (const found of await this.journal.load()) {
      this.log.error(
        { kill_id: found.order.id },
        'an emergency was left open; it is committed now',
      );
      this.book.add({ ...found, journaled: true, published: true, own: false });
    }
    this.timers.push(
      setInterval(() => void this.look(), LOOK_MS),
      setInterval(() => this.tellAgain(), TELL_AGAIN_MS),
    );
  }

  async onModuleDestroy(): Promise<void> {
    this.closed = true;
    this.timers.forEach(clearInterval);
    this.subscription?.unsubscribe();
    await within(PROBE_WITHIN_MS, this.running ?? Promise.resolve()).catch(() => undefined);
  }

  /** Looks at once; resolves when what could be done is done. */
  async look(): Promise<void> {
    if (this.book.size === 0 || this.closed) return;
    this.running ??= this.run().finally(() => (this.running = undefined));
    await this.running;
  }

  /** The transaction that was under way when the emergency was taken has come to its end. */
  async settle(emergency: OpenEmergency, outcome: Outcome): Promise<void> {
    const id = emergency.order.id;
    const refusal = refusalIn(outcome, id);
    const { state, epoch, entries } = await this.store.close(emergency, refusal);
    if (state === 'open') return;
    if (epoch !== undefined && entries !== undefined)
      this.relay.committed(emergency.tenant, epoch, entries);
    this.book.close(emergency.tenant, id);
    await this.journal.close(id);
    this.log.error({ kill_id: id, state, refusal }, 'an emergency is closed');
  }

  private heard(emergency: EmergencyOrder, jws: string): void {
    if (this.book.find(emergency.tenant, emergency.order.id) !== undefined) return;
    const open = { ...emergency, jws, journaled: false, published: true, own: false };
    const kept = this.book.add(open);
    this.log.error({ kill_id: emergency.order.id }, 'another replica has taken an emergency');
    void this.journal.append(kept).then((journaled) => (kept.journaled = journaled));
  }

  private async run(): Promise<void> {
    try {
      await within(PROBE_WITHIN_MS, this.store.probe());
      this.answersSince ??= this.replica.monotonic();
    } catch {
      this.answersSince = undefined;
      return;
    }
    const waited = this.replica.monotonic() - this.answersSince >= AFTER_YOU_MS;
    const due = this.book.all().filter(({ own, pending }) => !pending && (own || waited));
    await Promise.all(due.map((emergency) => this.replay(emergency)));
  }

  private async replay(emergency: OpenEmergency): Promise<void> {
    const { tenant, order } = emergency;
    try {
      if (this.commit === undefined) throw new Error('nobody has said how orders are committed');
      await this.settle(emergency, await this.commit(tenant, order));
    } catch (error) {
      if (isDatabaseAway(error)) this.answersSince = undefined;
      else this.log.error({ err: error, kill_id: order.id }, 'could not commit an emergency');
    }
  }

  private tellAgain(): void {
    const now = this.replica.wall();
    for (const emergency of this.book.all()) {
      if (emergency.notAfter <= now) continue;
      void within(PROBE_WITHIN_MS, this.announcements.tell(emergency)).then(
        (published) => (emergency.published ||= published),
        (error: unknown) => this.log.warn({ err: error }, 'could not tell an emergency again'),
      );
    }
  }
}

/** `null`: the order stands, by this transaction or an earlier one. */
function refusalIn(outcome: Outcome, id: string): EmergencyRefusal | null {
  if (isRefusal(outcome)) return outcome;
  if ('replay' in outcome && outcome.replay !== id) return { replay: outcome.replay, merged: true };
  return null;
}
