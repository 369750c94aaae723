import { runBench } from './run-bench';

describe('the benchmarks of the sidecar', () => {
  it('time the same requests through the sidecar and through a bare proxy', async () => {
    const { results, stdout } = await runBench('sidecar-latency');
    const [{ evidence, figures, goals } = never()] = results;
    expect(evidence['http_requests']).toBeGreaterThan(0);
    expect(evidence['mcp_calls']).toBe(evidence['http_requests']);
    expect(figures.map(({ role }) => role)).toEqual([
      ...['floor', 'floor', 'measured'],
      ...['floor', 'floor', 'measured'],
    ]);
    for (const { summary } of figures) expect(summary.min).toBeGreaterThan(0);
    expect(goals.map(({ id }) => id)).toEqual(['G11', 'G11', 'G11', 'G11']);
    for (const { value } of goals) expect(Number.isFinite(value)).toBe(true);
    expect(stdout).toContain('through a bare proxy');
  }, 120_000);

  it('cut every stream of a killed agent, and see that every other one goes on', async () => {
    const { results } = await runBench('sidecar-streams');
    const [{ evidence, figures } = never()] = results;
    expect(evidence).toEqual({
      streams_open: 100,
      ...{ cut: 10, cut_with_refusal: 10 },
      ...{ others: 90, others_open: 90 },
    });
    for (const { unit, summary } of figures)
      if (unit === 'ms') expect(summary.min).toBeGreaterThan(0);
  }, 120_000);
});

function never(): never {
  throw new Error('the benchmark has no result');
}
