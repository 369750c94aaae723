import type { Alarm } from './machine-events';
import type { Logger } from './types';

/** Tells whoever listens that an enforcement point refuses everything, or that a halt was used. */
export class Alarms {
  private readonly listeners: ((alarm: Alarm) => void)[] = [];

  constructor(private readonly logger: Logger) {}

  listen(listener: (alarm: Alarm) => void): void {
    this.listeners.push(listener);
  }

  raise(alarm: Alarm): void {
    if (alarm.kind === 'stopped') return;
    this.logger.error(
      { alarm },
      alarm.kind === 'halt'
        ? 'a halt was used: it is enforced without the control plane'
        : 'the enforcement point refuses everything',
    );
    for (const listener of this.listeners)
      try {
        listener(alarm);
      } catch (error) {
        // Its failure must not keep the others, or what else the machine wants done, from happening.
        this.logger.error({ error: String(error), alarm }, 'an alarm listener failed');
      }
  }
}
