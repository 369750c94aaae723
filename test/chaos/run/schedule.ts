import { Randomness } from '../../model/randomness';
import type { Fault, Lane } from './fault';
import { planeFaults } from './faults/planes';
import { pointFaults } from './faults/points';
import { serverFaults } from './faults/servers';
import { wireFaults } from './faults/wire';

/** Every fault that a run can have. One that needs more than a running world (a restore, F17) joins here. */
export const FAULTS: readonly Fault[] = [
  ...planeFaults,
  ...serverFaults,
  ...pointFaults,
  ...wireFaults,
];

export interface Planned {
  readonly fault: Fault;
  /** Milliseconds of quiet before it. */
  readonly afterMs: number;
  readonly lastsMs: number;
  /** Seed of what it chooses itself. */
  readonly seed: number;
}

const QUIET_MS = [200, 1_500] as const;

/**
 * What goes wrong in one lane, for ever, from the seed alone: all faults in a shuffled order, then all again in another
 * one. So a short run sees many kinds, and a long one every kind many times.
 */
export function* plan(seed: number, lane: Lane, only: readonly string[] = []): Generator<Planned> {
  const random = new Randomness(seed * 2 + (lane === 'servers' ? 0 : 1));
  const faults = FAULTS.filter(
    (fault) => fault.lane === lane && (only.length === 0 || only.includes(kindOf(fault.id))),
  );
  while (faults.length > 0)
    for (const fault of shuffled(faults, random))
      yield {
        fault,
        afterMs: random.between(...QUIET_MS),
        lastsMs: random.between(...fault.lasts),
        seed: Math.floor(random.next() * 2 ** 31),
      };
}

/** `F24` of `F24 slow`. */
export function kindOf(id: string): string {
  return id.split(' ')[0] as string;
}

function shuffled<T>(items: readonly T[], random: Randomness): T[] {
  const left = [...items];
  const order: T[] = [];
  while (left.length > 0) order.push(...left.splice(Math.floor(random.next() * left.length), 1));
  return order;
}
