import type { Logger } from 'pino';
import { type UnitOfWork } from '../database/unit-of-work';

const WRITE_MS = 2_000;

/** When each boot was last heard, written in batches: a fleet's lease requests must not be as many updates. */
export class BootActivity {
  private heard = new Map<string, { tenant: string; bootId: string }>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly work: UnitOfWork,
    private readonly log: Logger,
  ) {}

  onApplicationBootstrap(): void {
    this.timer = setInterval(() => void this.write(), WRITE_MS);
  }

  async beforeApplicationShutdown(): Promise<void> {
    clearInterval(this.timer);
    await this.write();
  }

  touch(tenant: string, bootId: string): void {
    this.heard.set(`${tenant}/${bootId}`, { tenant, bootId });
  }

  /** Losing this costs nothing that a later message does not bring again. */
  private async write(): Promise<void> {
    if (this.heard.size === 0) return;
    const heard = [...this.heard.values()];
    this.heard = new Map();
    try {
      await this.work.querySystem(
        `UPDATE boot SET last_seen_at = now() FROM unnest($1::text[], $2::text[]) AS a(tenant, boot_id)
         WHERE boot.tenant = a.tenant AND boot.boot_id = a.boot_id`,
        [heard.map((boot) => boot.tenant), heard.map((boot) => boot.bootId)],
      );
    } catch (error) {
      this.log.warn({ err: error }, 'could not note when boots were last heard');
    }
  }
}
