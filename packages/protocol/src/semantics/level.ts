/**
 * How much a suspension takes away. Absent means `deny_all`, and so does every level that a reader does not know: a newer
 * control plane's narrower order is widened by an older enforcement point, never ignored.
 */
export const LEVELS = ['deny_all', 'deny_spawn'] as const;
export type Level = (typeof LEVELS)[number];

export function isLevel(text: string): text is Level {
  return (LEVELS as readonly string[]).includes(text);
}

/** `deny_spawn` leaves tool calls and renewals alone: only the control plane, which spawns, has something to refuse. */
export function stopsCalls(level: string | undefined): boolean {
  return level !== 'deny_spawn';
}
