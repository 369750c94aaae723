import fc from 'fast-check';
import { plans, play } from './plan';
import { SOUND } from './rules';

/** More of them: SEVER_MODEL_RUNS. The same again: SEVER_MODEL_SEED. */
const RUNS = Number(process.env.SEVER_MODEL_RUNS ?? 200);
const SEED = Number(process.env.SEVER_MODEL_SEED ?? Date.now() % 2_147_483_647);

describe(`the protocol, over ${RUNS} random histories from seed ${SEED}`, () => {
  it('breaks no invariant', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const violation = play(plan, SOUND);
        if (violation !== null) throw violation;
      }),
      { numRuns: RUNS, seed: SEED },
    );
  }, 3_600_000);
});
