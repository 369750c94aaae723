import type { Logger } from 'pino';
import { type Broker } from '../broker/broker';
import { type UserRevocations } from '../broker/user-revocations';
import { type Failpoints } from '../config/failpoints';
import { type Replica } from '../stream/replica';
import { type BrokerUserStore, type DeadBrokerUsers } from './broker-user.store';

const SWEEP_MS = 10_000;
/** How long a killed enforcement point may take to confirm that it has heard of it. */
const HEAR_MS = 2_000;
const HEAR_LOOK_MS = 100;
/** A broker that lost its claims, or a writer that knows nothing of us, is noticed within this time. */
const TRUST_MS = 60_000;
const RETRY_MS = { first: 200, longest: 10_000 } as const;

export interface EndUsersPorts {
  readonly store: BrokerUserStore;
  readonly revocations: UserRevocations;
  readonly broker: Broker;
  readonly replica: Replica;
  readonly failpoints: Failpoints;
  readonly log: Logger;
}

/**
 * Sees to it that the broker drops the users of enforcement points that were killed or enrolled anew. Nobody waits for
 * it. It looks when told to, at the start, after a reconnect and every few seconds, so a push that a crash or an absent
 * broker prevented is made up for.
 */
export class EndUsers {
  private sweeping: NodeJS.Timeout | undefined;
  private soon: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;
  private again = false;
  private closed = false;
  private failures = 0;
  private warned = false;
  private connectedAt: number;
  /** What the broker was last seen to know, and when. */
  private known: { dead: string; at: number } | null = null;

  constructor(private readonly ports: EndUsersPorts) {
    this.connectedAt = ports.replica.monotonic();
  }

  onApplicationBootstrap(): void {
    this.ports.broker.onReconnect(() => {
      this.connectedAt = this.ports.replica.monotonic();
      this.known = null;
      this.failures = 0;
      this.request();
    });
    this.sweeping = setInterval(() => this.request(), SWEEP_MS);
    this.request();
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.closed = true;
    clearInterval(this.sweeping);
    clearTimeout(this.soon);
    await this.running;
  }

  /** Somebody may have to go. Returns at once; never fails. */
  request(): void {
    this.again = true;
    if (this.closed) return;
    this.running ??= this.run();
  }

  private async run(): Promise<void> {
    while (this.again && !this.closed) {
      this.again = false;
      try {
        const next = await this.look();
        this.failures = 0;
        if (next !== null) this.lookIn(next);
      } catch (error) {
        this.ports.log.warn({ err: error }, 'could not revoke users at the broker; trying again');
        this.lookIn(Math.min(RETRY_MS.longest, RETRY_MS.first * 2 ** this.failures++));
      }
    }
    // In the same step as the last look at `again`: a request that comes now starts another run.
    this.running = undefined;
  }

  /** @returns milliseconds after which to look again before the next sweep; `null`: there is nothing to wait for */
  private async look(): Promise<number | null> {
    const { store, revocations, broker, failpoints, log } = this.ports;
    const dead = await store.dead(this.couldHear(), HEAR_MS);
    if (!revocations.possible) {
      if (dead.users.size > 0) this.warnOnce();
      return null;
    }
    const next = dead.more ? HEAR_LOOK_MS : null;
    // Its reconnect makes us look again.
    if (this.isKnown(dead) || !broker.isConnected()) return next;
    await failpoints.hit('users.before_push');
    const mine = await revocations.open((claims) =>
      store.withClaims(this.couldHear(), HEAR_MS, async (now) => {
        if (await claims.revoke(now.users))
          log.info({ users: now.users.size }, 'revoked users at the broker');
        this.known = { dead: fingerprint(now), at: this.ports.replica.monotonic() };
      }),
    );
    return mine ? next : HEAR_LOOK_MS;
  }

  /** After a reconnect everybody else has to come back first, and hears only then. */
  private couldHear(): boolean {
    return this.ports.replica.monotonic() - this.connectedAt > HEAR_MS;
  }

  private isKnown(dead: DeadBrokerUsers): boolean {
    if (dead.users.size === 0) return true;
    const { known } = this;
    return (
      known !== null &&
      known.dead === fingerprint(dead) &&
      this.ports.replica.monotonic() - known.at < TRUST_MS
    );
  }

  private lookIn(ms: number): void {
    clearTimeout(this.soon);
    if (!this.closed) this.soon = setTimeout(() => this.request(), ms);
  }

  private warnOnce(): void {
    if (this.warned) return;
    this.warned = true;
    this.ports.log.warn(
      'an enforcement point was killed or enrolled anew, but its old user stays valid at the broker: set ' +
        'SEVER_NATS_OPERATOR_SEED_FILE and SEVER_NATS_SYSTEM_CREDS to the operator.seed and system.creds that ' +
        '`sever broker init` wrote, so that it is revoked there',
    );
  }
}

function fingerprint({ users }: DeadBrokerUsers): string {
  return JSON.stringify([...users].sort(([a], [b]) => (a < b ? -1 : 1)));
}
