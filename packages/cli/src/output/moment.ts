/** `2026-05-01 03:12:05Z`: UTC, so that two people on a call read the same time. */
export function moment(timestamp: string): string {
  const time = Date.parse(timestamp);
  return Number.isNaN(time)
    ? '?'
    : new Date(time).toISOString().slice(0, 19).replace('T', ' ').concat('Z');
}

/** `03:12:05.123`, UTC. */
export function clockTime(ms: number): string {
  return new Date(ms).toISOString().slice(11, 23);
}

/** `12 ms`, `1.4 s`. */
export function duration(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;
}
