/**
 * Milliseconds on the machine's monotonic clock. All processes of one machine read the same one, so a moment in one of
 * them can be compared with a moment in another.
 */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
