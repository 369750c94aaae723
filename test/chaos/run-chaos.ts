import { randomInt } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { replayCommand, runChaos, type ChaosOptions } from './run/chaos';
import { FAULTS, kindOf } from './run/schedule';

/** What was seen stays there after the run, for whoever has to find out why. */
const HISTORIES = join('.runtime', 'chaos');
const KNOWN = [...new Set(FAULTS.map(({ id }) => kindOf(id)))];

const program = new Command('npm run chaos --')
  .description('lets servers, replicas and enforcement points fail, and checks what must hold')
  .option('--minutes <n>', 'how long', number, 10)
  .option('--seconds <n>', 'how long, instead of minutes', number)
  .option('--seed <n>', 'of an earlier run, to have the same things go wrong', number)
  .option('--fault <ids>', `only these, separated by commas: ${KNOWN.join(',')}`, faultIds, [])
  .option('--history <file>', 'where to write what was seen')
  .action(main);

async function main(given: {
  minutes: number;
  seconds?: number;
  seed?: number;
  fault: string[];
  history?: string;
}): Promise<void> {
  const seed = given.seed ?? randomInt(2 ** 31);
  if (given.history === undefined) mkdirSync(HISTORIES, { recursive: true });
  const options: ChaosOptions = {
    seed,
    seconds: given.seconds ?? given.minutes * 60,
    faults: given.fault,
    log: (line) => console.log(`${(performance.now() / 1_000).toFixed(1).padStart(7)}  ${line}`),
    historyFile: given.history ?? join(HISTORIES, `${seed}.jsonl`),
  };
  console.log(`to see the same again: ${replayCommand(options)}`);
  const report = await runChaos(options).catch((error: unknown) => {
    console.error(`the run broke off; to see the same again: ${replayCommand(options)}`);
    throw error;
  });
  console.log(JSON.stringify({ ...report, violations: report.violations.length }, null, 2));
  if (report.violations.length === 0) return;
  for (const violation of report.violations.slice(0, 50)) console.error(violation);
  console.error(
    `${report.violations.length} violations; to see the same again: ${replayCommand(options)}`,
  );
  console.error(`what was seen: ${options.historyFile}`);
  process.exitCode = 1;
}

function number(text: string): number {
  const value = Number(text);
  if (Number.isFinite(value) && value >= 0) return value;
  throw new InvalidArgumentError('Write a number.');
}

function faultIds(text: string): string[] {
  const ids = text.split(',');
  const unknown = ids.filter((id) => !KNOWN.includes(id));
  if (unknown.length === 0) return ids;
  throw new InvalidArgumentError(`There is no ${unknown.join(', ')}; known: ${KNOWN.join(', ')}.`);
}

// So that what this process does at its end is done.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

program.parseAsync().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
