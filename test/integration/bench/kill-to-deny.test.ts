import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { Result } from '../../../bench/report/result';
import { createRunFolder } from '../../support/run-folder';

const ROOT = resolve(__dirname, '../../..');

describe('the benchmark of a kill', () => {
  it('refuses every agent that it kills, and tells its figures beside their floors', async () => {
    const file = join(createRunFolder('bench-test'), 'results.json');
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [
        ...['-r', './test/support/register-typescript.cjs', 'bench/main.ts', 'kill-to-deny'],
        ...['--quick', '--points', '1', '--json', file],
      ],
      { cwd: ROOT },
    );
    const { machine, results } = JSON.parse(readFileSync(file, 'utf8')) as {
      machine: { cores: number; node: string };
      results: Result[];
    };
    expect(machine).toMatchObject({ cores: expect.any(Number), node: process.version });
    expect(results).toHaveLength(1);
    const [{ evidence, figures, goals }] = results as [Result];

    expect(evidence.kills).toBeGreaterThan(0);
    expect(evidence.refusals).toBe(evidence.expected_refusals);
    expect(evidence.contained).toBe(evidence.expected_contained);

    const floors = figures.filter(({ role }) => role === 'floor');
    expect(floors.map(({ what }) => what)).toEqual([
      expect.stringContaining('HTTP'),
      expect.stringContaining('commit'),
      expect.stringContaining('fan-out'),
      expect.stringContaining('Ed25519'),
      expect.stringContaining('all three'),
    ]);
    for (const { summary } of floors) expect(summary.min).toBeGreaterThan(0);
    expect(goals.map(({ id }) => id)).toEqual(['G1', 'G3', 'G3']);
    for (const { value } of goals) expect(Number.isFinite(value)).toBe(true);
    expect(stdout).toContain('kill → last refusal');
  }, 120_000);
});
