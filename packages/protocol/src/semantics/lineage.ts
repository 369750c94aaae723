/**
 * A lineage is the list of `[subject, generation]` pairs under which a credential lives and dies. It is written when
 * the agent is spawned, copied into every credential it mints, and never changes.
 *
 * The whole kill rests on one rule: *a credential is dead when any pair of its lineage is below that subject's floor*.
 * Killing an agent raises one floor. Every descendant, born before the kill or in a race with it, carries the dead
 * ancestor in its lineage, so one small message stops a tree of any size.
 */
export type LineagePair = readonly [subject: string, generation: number];
export type Lineage = readonly LineagePair[];

/** Is this generation of a subject dead under that floor? A subject without a floor has floor 1. */
export function isBelowFloor(generation: number, floor: number | undefined): boolean {
  return floor !== undefined && generation < floor;
}

/**
 * The floor that a kill raises: above the present generation, never below an earlier floor, and in a later epoch
 * always above anything an earlier epoch may have handed out (a restored database has forgotten some).
 */
export function raisedFloor(floor: number, generation: number, epoch: number): number {
  return Math.max(floor, generation + 1, epoch * EPOCH_STRIDE);
}

/** Generations of epoch `e` start at `e * 2^32`; epochs below 2^21 stay exact in a double. */
export const EPOCH_STRIDE = 2 ** 32;

/** The deepest agent of a lineage: the one that acts. */
export function deepestAgent(lineage: Lineage): string | undefined {
  let found: string | undefined;
  for (const [subject] of lineage) if (subject.startsWith('agent:')) found = subject.slice(6);
  return found;
}

/** The id of the first subject of a kind, such as the tenant or the initiator. */
export function idOfKind(lineage: Lineage, kind: string): string | undefined {
  const prefix = `${kind}:`;
  for (const [subject] of lineage)
    if (subject.startsWith(prefix)) return subject.slice(prefix.length);
  return undefined;
}
