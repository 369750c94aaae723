import type { HaltState } from '@sever/protocol';
import type { KeptEmergency } from './kept-emergencies';

/** Kill orders that came without the control plane, of everything that was kept. */
export function haltStates(kept: readonly KeptEmergency[]): HaltState[] {
  return kept.flatMap(({ killId, open, notAfter, halt }) =>
    halt === undefined
      ? []
      : [
          {
            ...{ kill_id: killId, subjects: [...open], reason: halt.reason, kid: halt.kid },
            ...{ issued_at: halt.issuedAt, not_after: notAfter, committed: halt.committed },
          },
        ],
  );
}
