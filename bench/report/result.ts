import type { Summary } from '../measure/statistics';

export interface Figure {
  readonly what: string;
  /** A floor is the same step done by the barest program that can do it. */
  readonly role: 'floor' | 'measured';
  readonly unit: 'ms' | 'µs' | 'per s' | 'bytes';
  readonly summary: Summary;
}

/** A ratio within one run, and the bound that the project sets itself. */
export interface Goal {
  readonly id: string;
  readonly what: string;
  readonly value: number;
  readonly bound: number;
  readonly must: 'at most' | 'at least';
}

/** One table: a benchmark at one size. */
export interface Result {
  readonly benchmark: string;
  readonly title: string;
  readonly parameters: Readonly<Record<string, number | string | boolean>>;
  readonly figures: readonly Figure[];
  readonly goals: readonly Goal[];
  /** What a reader has to know to read the figures. */
  readonly notes: readonly string[];
  /** Counts that show that what was measured really happened. */
  readonly evidence: Readonly<Record<string, number>>;
}

export function isMet({ value, bound, must }: Goal): boolean {
  return must === 'at most' ? value <= bound : value >= bound;
}
