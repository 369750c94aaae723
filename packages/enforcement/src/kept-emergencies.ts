/** What a halt said of itself, beside what every emergency says. */
export interface KeptHalt {
  /** As it was signed; the control plane verifies it again. */
  readonly jws: string;
  readonly kid: string;
  readonly reason: string;
  readonly issuedAt: number;
  /** The control plane has committed it. */
  readonly committed: boolean;
}

export interface KeptEmergency {
  readonly killId: string;
  /** Still refused on the strength of it. */
  readonly open: readonly string[];
  /** Their own denial has taken its place. */
  readonly closed: readonly string[];
  /** Milliseconds since the Unix epoch on the database's clock. */
  readonly notAfter: number;
  readonly halt?: KeptHalt | undefined;
}

/** Emergencies and halts as a restart must find them: the control plane that answers it may not know of them. */
export interface KeptEmergencies {
  readonly v: 1;
  /** The latest time that the control plane had signed. */
  readonly now: number;
  readonly open: readonly KeptEmergency[];
  /** Ids that are over: a replay before `notAfter` does not open them again. */
  readonly resolved: readonly { readonly killId: string; readonly notAfter: number }[];
}

export const NOTHING_KEPT: KeptEmergencies = { v: 1, now: 0, open: [], resolved: [] };

/** Reads what an earlier process wrote. @throws when it is something else: to guess would be to forget an order */
export function keptEmergenciesIn(text: string): KeptEmergencies {
  const kept = JSON.parse(text) as KeptEmergencies;
  const good =
    kept.v === 1 &&
    Number.isFinite(kept.now) &&
    kept.open.every(
      ({ killId, open, closed, notAfter, halt }) =>
        typeof killId === 'string' &&
        [...open, ...closed].every((subject) => typeof subject === 'string') &&
        Number.isFinite(notAfter) &&
        (halt === undefined || typeof halt.jws === 'string'),
    ) &&
    kept.resolved.every(
      ({ killId, notAfter }) => typeof killId === 'string' && Number.isFinite(notAfter),
    );
  if (!good) throw new Error('not a list of emergencies');
  return kept;
}
