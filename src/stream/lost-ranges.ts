import { comparePositions, type Position } from '@sever/protocol';

export interface Opening {
  /** Where the database stood when it was found to have gone back. */
  readonly former: Position;
  /** The highest place that is known to have been signed; `null`: none above it. */
  readonly seen: Position | null;
  /** Places of which the entry was shown. */
  readonly shown: readonly Position[];
}

export interface LostRange {
  readonly epoch: number;
  readonly from: number;
  /** Inclusive; `null`: that epoch's end is not known. */
  readonly to: number | null;
}

/** What lies between the restored head and the highest place that was ever seen, and has not been shown by anybody. */
export function lostRanges({ former, seen, shown }: Opening): LostRange[] {
  if (seen === null || comparePositions(seen, former) <= 0) return [];
  const ranges: LostRange[] = [];
  for (let epoch = former.epoch; epoch <= seen.epoch; epoch += 1) {
    const places = shown.filter((at) => at.epoch === epoch).map(({ seq }) => seq);
    let next = epoch === former.epoch ? former.seq + 1 : 1;
    for (const seq of [...new Set(places)].sort((a, b) => a - b)) {
      if (seq > next) ranges.push({ epoch, from: next, to: seq - 1 });
      next = Math.max(next, seq + 1);
    }
    if (epoch < seen.epoch) ranges.push({ epoch, from: next, to: null });
    else if (next <= seen.seq) ranges.push({ epoch, from: next, to: seen.seq });
  }
  return ranges;
}
