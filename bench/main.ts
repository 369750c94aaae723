import { writeFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import { BENCHMARKS, type Settings } from './benchmarks';
import { machineFacts } from './report/machine';
import type { Result } from './report/result';
import { tables } from './report/tables';

interface Options {
  readonly quick: boolean;
  readonly points?: number[];
  readonly rounds?: number[];
  readonly sizes?: number[];
  readonly json?: string;
}

const say = (line: string): void => void process.stderr.write(`${line}\n`);

const program = new Command('bench')
  .description('Measures Sever beside the floors of what it is made of, in the same run.')
  .argument('[name...]', `which: ${Object.keys(BENCHMARKS).join(', ')} (default: all)`)
  .option('--quick', 'few rounds and small sizes: shows that it works, not how fast', false)
  .option('--points <n,…>', 'how many enforcement points (kill-to-deny, kill-burst)', numbers)
  .option('--rounds <n>', 'how often each step is measured (kill-to-deny)', numbers)
  .option('--sizes <n,…>', 'how many agents die by a kill (kill-by-tree-size)', numbers)
  .option('--json <file>', 'write everything that was measured there')
  .action(run);

void program.parseAsync().catch((error: unknown) => {
  say(error instanceof Error ? (error.stack ?? error.message) : String(error));
  process.exit(1);
});

async function run(
  names: string[],
  { quick, points, rounds, sizes, json }: Options,
): Promise<void> {
  const chosen = names.length > 0 ? names : Object.keys(BENCHMARKS);
  const unknown = chosen.filter((name) => BENCHMARKS[name] === undefined);
  if (unknown.length > 0) program.error(`there is no benchmark ${unknown.join(', ')}`);
  const machine = machineFacts();
  const settings: Settings = {
    ...{ quick, say },
    ...(points && { points }),
    ...(sizes && { sizes }),
    ...(rounds?.[0] !== undefined && { rounds: rounds[0] }),
  };
  const results: Result[] = [];
  for (const name of chosen)
    for (const result of (await BENCHMARKS[name]?.(settings)) ?? []) {
      results.push(result);
      process.stdout.write(`${tables(result)}\n`);
    }
  if (json !== undefined)
    writeFileSync(json, `${JSON.stringify({ machine, quick, results }, null, 2)}\n`);
}

function numbers(text: string): number[] {
  const values = text.split(',').map(Number);
  if (!values.every((value) => Number.isInteger(value) && value > 0))
    throw new InvalidArgumentError('whole numbers, with commas between them');
  return values;
}
