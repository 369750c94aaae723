import { setTimeout as delay } from 'node:timers/promises';
import { ConfigError } from './config';

type Action = { kind: 'exit' | 'stop' | 'throw' } | { kind: 'sleep'; ms: number };

/** Places at which a test may break the process. Each is hit by name in the code. */
export const FAILPOINTS = [
  'kill.before_commit',
  'kill.after_commit',
  'kill.after_publish',
  'relay.before_publish',
  'relay.after_publish',
  'cascade.batch',
  'lift.before_commit',
  'lift.after_commit',
  'reinstate.before_commit',
  'reinstate.after_commit',
  'spawn.after_commit',
  'mint.after_commit',
  'users.before_push',
  'emergency.before_journal',
  'emergency.after_journal',
  'emergency.after_publish',
] as const;
export type Failpoint = (typeof FAILPOINTS)[number];

/**
 * Named failpoints: `SEVER_FAILPOINTS=kill.after_commit=exit,relay.before_publish=sleep(500)`. Actions: `exit` (137, as
 * SIGKILL would), `stop` (SIGSTOP), `sleep(ms)`, `throw`. Only with SEVER_ENV=test.
 */
export class Failpoints {
  private readonly actions = new Map<string, Action>();

  constructor(spec: string) {
    for (const part of spec.split(',').filter((text) => text !== '')) {
      const match = /^([a-z_.]+)=(exit|stop|throw|sleep\((\d{1,6})\))$/.exec(part.trim());
      const name = match?.[1];
      if (!match || !FAILPOINTS.some((known) => known === name))
        throw new ConfigError(
          `SEVER_FAILPOINTS: cannot read "${part}"; write name=exit|stop|throw|sleep(ms), with a name of: ${FAILPOINTS.join(', ')}`,
        );
      const action: Action = match[3]
        ? { kind: 'sleep', ms: Number(match[3]) }
        : { kind: match[2] as 'exit' | 'stop' | 'throw' };
      this.actions.set(match[1] as string, action);
    }
  }

  async hit(name: Failpoint): Promise<void> {
    const action = this.actions.get(name);
    if (action === undefined) return;
    switch (action.kind) {
      case 'exit':
        process.kill(process.pid, 'SIGKILL');
        return delay(60_000);
      case 'stop':
        process.kill(process.pid, 'SIGSTOP');
        return;
      case 'sleep':
        return delay(action.ms);
      case 'throw':
        throw new Error(`failpoint ${name}`);
    }
  }
}
