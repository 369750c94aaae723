import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import type { Logger } from 'pino';
import { LOG } from '../config/config.module';
import { UnitOfWork } from '../database/unit-of-work';

const EVERY_MS = 10 * 60_000;

/** Rows that may go once their time is over. Everything else is marked and kept. */
const SPENT = [
  `DELETE FROM idempotency_key WHERE created_at < now() - interval '24 hours'`,
  // A proof is refused by its age long before this.
  `DELETE FROM enrolment_proof WHERE used_at < now() - interval '1 hour'`,
];

@Injectable()
export class Housekeeping implements OnApplicationBootstrap, OnModuleDestroy {
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly work: UnitOfWork,
    @Inject(LOG) private readonly log: Logger,
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => void this.sweep(), EVERY_MS);
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  async sweep(): Promise<void> {
    try {
      for (const sql of SPENT) await this.work.querySystem(sql);
    } catch (error) {
      this.log.warn({ err: error }, 'could not remove spent rows');
    }
  }
}
