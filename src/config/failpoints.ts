import { appendFileSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { ConfigError } from './config';

type Action = { kind: 'exit' | 'stop' | 'throw' } | { kind: 'sleep'; ms: number };

/** Places at which a test may break the process. Each is hit by name in the code. */
export const FAILPOINTS = [
  'kill.before_commit',
  'kill.after_commit',
  'kill.after_publish',
  // Of several orders in one transaction.
  'batch.before_commit',
  'batch.after_commit',
  'relay.before_publish',
  'relay.after_publish',
  'cascade.batch',
  'lift.before_commit',
  'lift.after_commit',
  'reinstate.before_commit',
  'reinstate.after_commit',
  'spawn.before_commit',
  'spawn.after_commit',
  'mint.before_commit',
  'mint.after_commit',
  'users.before_push',
  'emergency.before_journal',
  'emergency.after_journal',
  'emergency.after_publish',
] as const;
export type Failpoint = (typeof FAILPOINTS)[number];

/**
 * Named failpoints: `SEVER_FAILPOINTS=kill.after_commit=exit,relay.before_publish=sleep(500)`. Actions: `exit` (137, as
 * SIGKILL would), `stop` (SIGSTOP), `sleep(ms)`, `throw`. `@FILE` reads the same from a file whenever one is reached, so
 * that a test can arm a process that runs already, and notes in `FILE.hits` what was hit. Only with SEVER_ENV=test.
 */
export class Failpoints {
  private readonly file: string | undefined;
  private readonly actions: ReadonlyMap<string, Action>;

  constructor(spec: string) {
    this.file = spec.startsWith('@') ? spec.slice(1) : undefined;
    this.actions = readActions(this.file === undefined ? spec : '');
  }

  async hit(name: Failpoint): Promise<void> {
    const action = this.armed().get(name);
    if (action === undefined) return;
    if (this.file !== undefined) appendFileSync(`${this.file}.hits`, `${name}\n`);
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

  private armed(): ReadonlyMap<string, Action> {
    if (this.file === undefined) return this.actions;
    return readActions(readFileSync(this.file, 'utf8').trim());
  }
}

function readActions(spec: string): Map<string, Action> {
  const actions = new Map<string, Action>();
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
    actions.set(match[1] as string, action);
  }
  return actions;
}
