import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import type { Logger } from 'pino';
import type { Subscription } from 'rxjs';
import { LOG } from '../../config/config.module';
import { isDatabaseAway, within } from '../../database/reach';
import { SigningKeys } from '../../signing/signing-keys';
import { EnforcementEvents } from '../../stream/enforcement-events';
import { EmergencyStore, type KnownPoint } from './emergency.store';

const EVERY_MS = 10_000;
/** After an enforcement point has come or gone; a fleet that comes together is looked at once. */
const SOON_MS = 50;
/** The database was away: who came just before must be known as soon as it is back. */
const AGAIN_MS = 1_000;
const READ_WITHIN_MS = 5_000;

/** What an emergency needs from the database, fetched while there is one: keys to sign and to verify with, and who listens. */
@Injectable()
export class Prepared implements OnApplicationBootstrap, OnModuleDestroy {
  private known: readonly KnownPoint[] = [];
  private timer: NodeJS.Timeout | undefined;
  private soon: NodeJS.Timeout | undefined;
  private entries: Subscription | undefined;
  private looking = false;
  private closed = false;

  constructor(
    private readonly store: EmergencyStore,
    private readonly keys: SigningKeys,
    private readonly events: EnforcementEvents,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  async onApplicationBootstrap(): Promise<void> {
    await this.look();
    this.timer = setInterval(() => void this.look(), EVERY_MS);
    this.timer.unref();
    this.entries = this.events.boots.subscribe(() => this.lookIn(SOON_MS));
  }

  onModuleDestroy(): void {
    this.closed = true;
    this.entries?.unsubscribe();
    clearTimeout(this.soon);
    clearInterval(this.timer);
  }

  /** Enforcement points as they were when last looked at. */
  points(tenant: string): { id: string; name: string }[] {
    return this.known
      .filter((point) => point.tenant === tenant)
      .map(({ id, name }) => ({ id, name }));
  }

  private lookIn(ms: number): void {
    if (this.closed) return;
    this.soon ??= setTimeout(() => {
      this.soon = undefined;
      void this.look();
    }, ms).unref();
  }

  private async look(): Promise<void> {
    if (this.looking) return this.lookIn(SOON_MS);
    this.looking = true;
    try {
      await within(READ_WITHIN_MS, this.fetch());
    } catch (error) {
      if (!isDatabaseAway(error)) this.log.warn({ err: error }, 'could not prepare for an outage');
      this.lookIn(AGAIN_MS);
    } finally {
      this.looking = false;
    }
  }

  private async fetch(): Promise<void> {
    this.known = await this.store.points();
    for (const tenant of await this.store.tenants()) {
      await this.keys.liveKey(tenant, 'stream');
      for (const purpose of ['stream', 'token'] as const)
        await this.keys.publicKeys(tenant, purpose);
    }
  }
}
