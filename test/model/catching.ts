import fc from 'fast-check';
import { plans, play, type Plan } from './plan';
import type { Variation } from './rules';

export interface Caught {
  /** Histories that showed it; the first one ends the search unless all are counted. */
  readonly times: number;
  readonly of: number;
  /** What the first one showed. */
  readonly first: string | null;
}

/** Plays random histories until one shows that a rule is missing. */
export function caughtBy(variation: Variation, runs: number, seed: number): Caught {
  const outcome = fc.check(
    fc.property(plans, (plan) => {
      const violation = play(plan, variation);
      if (violation !== null) throw violation;
    }),
    { numRuns: runs, seed, endOnFailure: true },
  );
  const { errorInstance } = outcome;
  const first = errorInstance instanceof Error ? errorInstance.message : null;
  return { times: outcome.failed ? 1 : 0, of: outcome.numRuns, first };
}

/** Plays them all, and counts. */
export function catchRate(variation: Variation, runs: number, seed: number): Caught {
  let first: string | null = null;
  let times = 0;
  for (const plan of fc.sample<Plan>(plans, { numRuns: runs, seed })) {
    const violation = play(plan, variation);
    if (violation === null) continue;
    times += 1;
    first ??= violation.message;
  }
  return { times, of: runs, first };
}
