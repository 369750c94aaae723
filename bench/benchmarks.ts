import { killToDeny } from './kill-to-deny/kill-to-deny';
import type { Result } from './report/result';
import { killByTreeSize } from './tree-size/tree-size';

export interface Settings {
  readonly quick: boolean;
  readonly points?: readonly number[];
  readonly say: (line: string) => void;
}

/** Every benchmark by its name, in the order in which all of them run. */
export const BENCHMARKS: Readonly<
  Record<string, (settings: Settings) => Promise<readonly Result[]>>
> = {
  'kill-to-deny': ({ quick, points = quick ? [1, 10] : [1, 10, 100], say }) =>
    killToDeny({ points, say, ...(quick ? { rounds: 4, warmUp: 2 } : { rounds: 60, warmUp: 15 }) }),
  'kill-by-tree-size': ({ quick, say }) =>
    killByTreeSize(
      quick
        ? { sizes: [1, 100, 2_000], kills: 3, bare: 5, say }
        : { sizes: [1, 100, 10_000, 100_000, 1_000_000], kills: 5, bare: 60, say },
    ),
};
