// npm run sweep [-- crash|roulette] [-- …what Jest takes]: every combination of the crash sweep, and 200 kills of the roulette.
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';

const [first, ...others] = process.argv.slice(2);
const part = ['crash', 'roulette'].includes(first) ? first : undefined;
const jest = createRequire(import.meta.url).resolve('jest/bin/jest.js');
const { status } = spawnSync(
  process.execPath,
  [
    ...[jest, '--runInBand', part === undefined ? 'test/sweep' : `test/sweep/${part}`],
    ...(part === undefined && first !== undefined ? [first] : []),
    ...others,
  ],
  {
    stdio: 'inherit',
    env: { SEVER_SWEEP_TRIALS: 'all', SEVER_ROULETTE_KILLS: '200', ...process.env },
  },
);
process.exitCode = status ?? 1;
