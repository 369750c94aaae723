import type { EnforcementState } from '@sever/enforcement';
import { Child } from '../stage/processes';
import type { Stage } from '../stage/stage';
import type { Seen } from './watched-point';

const MOST_PROCESSES = 10;

/** Enforcement points in up to ten processes, each with a connection of its own; bare subscribers likewise. */
export class Fleet {
  private constructor(
    private readonly processes: readonly { readonly child: Child; readonly count: number }[],
    readonly size: number,
  ) {}

  static async start(stage: Stage, size: number): Promise<Fleet> {
    const parts = Math.min(MOST_PROCESSES, size);
    const processes = Array.from({ length: parts }, (_, at) => ({
      child: Child.start('bench/points/point-process.ts'),
      count: share(size, parts, at),
    }));
    const fleet = new Fleet(processes, size);
    try {
      // One after the other: a hundred enrolments at once are another benchmark.
      for (const [at, { child, count }] of processes.entries())
        await child.ask('connect', {
          addresses: Array.from({ length: count }, (_, one) => ({
            name: `bench-${size}-${at}-${one}`,
            url: stage.api.url,
            key: stage.api.key,
            folder: stage.folder,
          })),
        });
      return fleet;
    } catch (error) {
      await fleet.stop();
      throw error;
    }
  }

  async subscribe(stage: Stage, publicKey: string): Promise<void> {
    for (const { child, count } of this.processes)
      await child.ask('subscribe', { broker: stage.broker, count, publicKey });
  }

  /** Every enforcement point admits a call with the token. */
  async watch(token: string): Promise<void> {
    await this.all('watch', { token });
  }

  /** What each saw of the kill of the token that is watched; waits for all of them. */
  async seen(): Promise<Seen[]> {
    return (await this.all<Seen[]>('seen')).flat();
  }

  async receipts(on: boolean): Promise<void> {
    await this.all('receipts', { on });
  }

  async states(): Promise<EnforcementState[]> {
    return (await this.all<EnforcementState[]>('states')).flat();
  }

  async decisions(tokens: readonly string[]): Promise<string[]> {
    return (await this.all<string[][]>('decisions', { tokens })).flat(2);
  }

  /** When the last bare subscriber had that message; `null` while some have not. */
  async lastBare(number: number): Promise<number | null> {
    const last = await this.all<{ count: number; at: number | null }>('last', { number });
    const count = last.reduce((sum, one) => sum + one.count, 0);
    return count < this.size ? null : Math.max(...last.map(({ at }) => at ?? NaN));
  }

  async stop(): Promise<void> {
    await Promise.all(this.processes.map(({ child }) => child.stop()));
  }

  private all<T>(question: string, input: object = {}): Promise<T[]> {
    return Promise.all(this.processes.map(({ child }) => child.ask<T>(question, input)));
  }
}

function share(total: number, parts: number, at: number): number {
  return Math.floor(total / parts) + (at < total % parts ? 1 : 0);
}
