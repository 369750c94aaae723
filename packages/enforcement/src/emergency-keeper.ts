import type { KeptEmergencies } from './kept-emergencies';
import type { Logger } from './types';

type Write = (emergencies: KeptEmergencies) => Promise<void>;

/** Writes emergencies down in the order in which they came, the latest state alone when several wait. */
export class EmergencyKeeper {
  private waiting: KeptEmergencies | null = null;
  private running: Promise<void> | null = null;
  private failed = false;

  constructor(
    private readonly write: Write,
    private readonly logger: Logger,
  ) {}

  keep(emergencies: KeptEmergencies): void {
    this.waiting = emergencies;
    this.running ??= this.drain();
  }

  /** Resolves once nothing waits. @returns whether the disk has the latest state */
  async kept(): Promise<boolean> {
    while (this.running !== null) await this.running;
    return !this.failed;
  }

  private async drain(): Promise<void> {
    while (this.waiting !== null) {
      const next = this.waiting;
      this.waiting = null;
      try {
        await this.write(next);
        this.failed = false;
      } catch (error) {
        // It is denied all the same; only a restart would not know of it.
        this.failed = true;
        this.logger.error({ error: String(error) }, 'emergencies could not be written down');
      }
    }
    this.running = null;
  }
}
