import { randomInt } from 'node:crypto';
import { replayCommand, runChaos, type ChaosOptions } from './run/chaos';

const SECONDS = Number(process.env.SEVER_CHAOS_SECONDS ?? 120);
/** Start of all servers, the last fault's end, and convergence, on a machine that does much else. */
const MARGIN_MS = 360_000;

/** Reproducible: SEVER_CHAOS_SEED takes the seed of an earlier run, SEVER_CHAOS_SECONDS how long it lasts. */
describe('a deployment in which everything fails by turns', () => {
  const options: ChaosOptions = {
    seed: Number(process.env.SEVER_CHAOS_SEED ?? randomInt(2 ** 31)),
    seconds: SECONDS,
    faults: [],
    // At once, and past Jest: a run that hangs has to be understood too.
    log: (line) => void process.stdout.write(`chaos: ${line}\n`),
  };

  it(
    `loses no acknowledged kill, admits nothing dead, reports nothing as done that is not (seed ${options.seed})`,
    async () => {
      process.stdout.write(`to see the same again: ${replayCommand(options)}\n`);
      let report;
      try {
        report = await runChaos(options);
        // A run in which nothing happened would show nothing.
        expect(Object.keys(report.faults).length).toBeGreaterThanOrEqual(
          Math.min(10, SECONDS / 12),
        );
        expect(report.counts.admit).toBeGreaterThan(SECONDS);
        expect(report.counts.deny).toBeGreaterThan(SECONDS);
        expect(report.counts.receipt).toBeGreaterThan(SECONDS / 4);
        expect(report.counts.commit).toBeGreaterThan(SECONDS / 10);
        expect(report.violations).toEqual([]);
      } catch (error) {
        process.stdout.write(`${JSON.stringify(report?.counts)}\n`);
        process.stdout.write(`to see the same again: ${replayCommand(options)}\n`);
        throw error;
      }
    },
    SECONDS * 1_000 + MARGIN_MS,
  );
});
