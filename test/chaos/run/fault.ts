import type { Randomness } from '../../model/randomness';
import type { Population } from './population';
import type { Workload } from './workload';
import type { World } from './world';

/** What a fault has to work with. */
export interface Scene {
  readonly world: World;
  readonly workload: Workload;
  readonly population: Population;
  /** Subjects that enforcement points deny although the database knows nothing of it. */
  readonly deniedByThemselves: Set<string>;
  readonly log: (line: string) => void;
}

/**
 * Servers and replicas fail in one lane, enforcement points and their roads in the other: one of each at a time, so
 * that most of a run has two things broken at once, and a fault never undoes another one.
 */
export type Lane = 'servers' | 'points';

export interface Fault {
  /** As in the fault matrix, such as `F20`. */
  readonly id: string;
  readonly what: string;
  readonly lane: Lane;
  /** How long it stays, milliseconds, from and to. */
  readonly lasts: readonly [number, number];
  /** Breaks something. @returns what mends it, called after `lasts` */
  begin(scene: Scene, random: Randomness): Promise<() => Promise<void> | void>;
}
