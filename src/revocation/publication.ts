import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import { LOG } from '../config/config.module';
import { Replica } from '../stream/replica';
import { Relay } from '../stream/relay';
import type { CommittedOrder } from './commit-orders';
import { KillEvents } from './kill-events';
import { RevocationStore } from './revocation.store';

/** What happens to an order right after its COMMIT, in this order: the doorbell, the clock reading, the consoles. */
@Injectable()
export class Publication {
  constructor(
    private readonly relay: Relay,
    private readonly store: RevocationStore,
    private readonly events: KillEvents,
    private readonly replica: Replica,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  publish(tenant: string, committed: CommittedOrder): void {
    this.relay.committed(tenant, committed.epoch, committed.entries);
    // Latencies are reckoned against this reading; without it they are only missing, never wrong.
    this.store
      .rememberCommit(tenant, committed.id, this.replica.id, committed.sentMonoMs)
      .then(() => this.events.changed(tenant, committed.id))
      .catch((error: unknown) =>
        this.log.warn({ err: error }, 'could not keep the time of a commit'),
      );
  }
}
