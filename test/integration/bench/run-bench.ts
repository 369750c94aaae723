import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Result } from '../../../bench/report/result';
import { createRunFolder } from '../../support/run-folder';

/** One benchmark at its smallest size, as a command, and what it wrote. */
export async function runBench(name: string): Promise<{ results: Result[]; stdout: string }> {
  const file = join(createRunFolder('bench-test'), 'results.json');
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [
      ...['-r', './test/support/register-typescript.cjs', 'bench/main.ts', name],
      ...['--quick', '--json', file],
    ],
    { cwd: resolve(__dirname, '../../..') },
  );
  const { results } = JSON.parse(readFileSync(file, 'utf8')) as { results: Result[] };
  return { results, stdout };
}
