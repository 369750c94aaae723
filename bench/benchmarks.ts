import { check } from './check/check';
import { killBurst } from './kill-burst/kill-burst';
import { killToDeny } from './kill-to-deny/kill-to-deny';
import type { Result } from './report/result';
import { sidecarLatency } from './sidecar/sidecar-latency';
import { sidecarStreams } from './sidecar/sidecar-streams';
import { killByTreeSize } from './tree-size/tree-size';

export interface Settings {
  readonly quick: boolean;
  readonly points?: readonly number[];
  readonly sizes?: readonly number[];
  readonly rounds?: number;
  readonly say: (line: string) => void;
}

/** Every benchmark by its name, in the order in which all of them run. */
export const BENCHMARKS: Readonly<
  Record<string, (settings: Settings) => Promise<readonly Result[]>>
> = {
  'kill-to-deny': ({ quick, points = quick ? [1, 10] : [1, 10, 100], rounds, say }) =>
    killToDeny({ points, rounds: rounds ?? (quick ? 4 : 60), warmUp: quick ? 2 : 10, say }),
  'kill-by-tree-size': ({ quick, sizes, say }) =>
    killByTreeSize(
      quick
        ? { sizes: sizes ?? [1, 100, 2_000], kills: 3, bare: 5, say }
        : { sizes: sizes ?? [1, 100, 10_000, 100_000, 1_000_000], kills: 5, bare: 60, say },
    ),
  'kill-burst': ({ quick, points = [quick ? 5 : 100], say }) =>
    killBurst({
      ...{ points: Math.max(...points), callers: 64, say },
      ...(quick
        ? { sustained: 100, burst: 50, runs: 1 }
        : { sustained: 4_000, burst: 1_000, runs: 3 }),
    }),
  check: ({ quick, say }) =>
    check(
      quick
        ? { sizes: [1_000], tokens: 80, batches: 10, say }
        : { sizes: [10_000, 1_000_000], tokens: 600, batches: 60, say },
    ),
  'sidecar-latency': ({ quick, say }) =>
    sidecarLatency(
      quick ? { rounds: 3, batch: 20, warmUp: 1, say } : { rounds: 60, batch: 50, warmUp: 10, say },
    ),
  'sidecar-streams': ({ quick, say }) =>
    sidecarStreams(
      quick
        ? { agents: 20, each: 5, kills: 2, everyMs: 500, say }
        : { agents: 250, each: 20, kills: 5, everyMs: 5_000, say },
    ),
};
