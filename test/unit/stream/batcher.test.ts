import { Batcher } from '../../../src/stream/batcher';

test('one run serves everything that waits, and a run never answers what came after it began', async () => {
  const runs: number[][] = [];
  const release: (() => void)[] = [];
  const batcher = new Batcher<number, number>(async (inputs) => {
    runs.push(inputs);
    await new Promise<void>((resolve) => release.push(resolve));
    return inputs.map((input) => input * 10);
  });
  const first = [batcher.add(1), batcher.add(2)];
  await Promise.resolve();
  const later = [batcher.add(3), batcher.add(4)];
  expect(runs).toEqual([[1, 2]]);
  release.shift()?.();
  expect(await Promise.all(first)).toEqual([10, 20]);
  expect(runs).toEqual([
    [1, 2],
    [3, 4],
  ]);
  release.shift()?.();

  expect(await Promise.all(later)).toEqual([30, 40]);
});

test('a run that fails fails its own inputs and no others', async () => {
  const batcher = new Batcher<string, string>(async (inputs) => {
    if (inputs.includes('bad')) throw new Error('bad');
    return inputs;
  });
  const bad = batcher.add('bad');
  await expect(bad).rejects.toThrow('bad');

  expect(await batcher.add('good')).toBe('good');
});

test('a crowd is served in runs of bounded size', async () => {
  const sizes: number[] = [];
  const batcher = new Batcher<number, number>(async (inputs) => {
    sizes.push(inputs.length);
    return inputs;
  }, 3);
  await Promise.all([1, 2, 3, 4, 5, 6, 7].map((input) => batcher.add(input)));

  expect(sizes).toEqual([3, 3, 1]);
});
