export type EntryRefusal =
  | 'enforcement_point_unknown'
  | 'enforcement_point_revoked'
  | 'boot_of_another'
  | 'boot_left'
  | 'mode_changed';

/** What is stored about an enforcement point, and about the boot that asks in its name. */
export interface BootFacts {
  readonly known: boolean;
  readonly revoked: boolean | null;
  /** Whose boot it is; `null` for one that is not stored yet. */
  readonly bootEp: string | null;
  readonly mode: string | null;
  readonly left: boolean | null;
}

/** May this boot enter, or ask again? A process keeps its mode, and one that has left stays gone. */
export function entryRefusal(
  facts: BootFacts | undefined,
  { ep, mode }: { readonly ep: string; readonly mode: string },
): EntryRefusal | null {
  if (!facts?.known) return 'enforcement_point_unknown';
  if (facts.revoked) return 'enforcement_point_revoked';
  if (facts.bootEp === null) return null;
  if (facts.bootEp !== ep) return 'boot_of_another';
  if (facts.left) return 'boot_left';
  return facts.mode === mode ? null : 'mode_changed';
}
