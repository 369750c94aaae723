import { caughtBy, catchRate, type Caught } from './catching';
import { MUTATIONS } from './mutations';
import { SOUND } from './rules';

/** The same histories each time, so that a mutation which is caught stays caught; other ones on demand. */
const SEED = Number(process.env.SEVER_MODEL_SEED ?? 1);
const MOST_RUNS = 400;
// Of these names only, while one is worked on.
const ONLY = new RegExp(process.env.SEVER_MODEL_ONLY ?? '');
const COUNTED = Number(process.env.SEVER_MODEL_RUNS ?? 0);

describe(`random histories from seed ${SEED} show it`, () => {
  const table: string[] = [];

  afterAll(() => {
    process.stdout.write(`${table.join('\n')}\n`);
  });

  it('and nothing, when no rule is missing', () => {
    expect(caughtBy(SOUND, 100, SEED)).toMatchObject({ times: 0, first: null });
  }, 600_000);

  it.each(
    MUTATIONS.filter(({ name }) => ONLY.test(name)).map(
      (mutation) => [mutation.name, mutation] as const,
    ),
  )(
    'when %s',
    (name, mutation) => {
      const caught: Caught =
        COUNTED > 0 ? catchRate(mutation, COUNTED, SEED) : caughtBy(mutation, MOST_RUNS, SEED);
      const how = COUNTED > 0 ? `${caught.times} of ${caught.of}` : `history ${caught.of}`;
      table.push(`${name.padEnd(58)} ${how.padEnd(14)} ${caught.first ?? 'not caught'}`);
      expect(caught.times).toBeGreaterThan(0);
    },
    3_600_000,
  );
});
