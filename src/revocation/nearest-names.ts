import { distance } from 'fastest-levenshtein';

const OFFERED = 5;
/** Further away than this share of the longer name, a name is not a slip of the hand any more. */
const FAR = 0.6;

/** Known names close to one that matched nothing: first those that contain it, then by edit distance. */
export function nearestNames(name: string, known: readonly string[]): string[] {
  const wanted = name.toLowerCase();
  return [...new Set(known)]
    .filter((one) => one !== name)
    .map((one) => ({ one, far: farness(wanted, one.toLowerCase()) }))
    .filter(({ far }) => far <= FAR)
    .sort((a, b) => a.far - b.far || (a.one < b.one ? -1 : 1))
    .slice(0, OFFERED)
    .map(({ one }) => one);
}

function farness(a: string, b: string): number {
  if (a.length >= 3 && (b.includes(a) || a.includes(b))) return 0.1;
  return distance(a, b) / Math.max(a.length, b.length, 1);
}
