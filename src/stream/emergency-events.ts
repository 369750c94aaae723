import { Subject } from 'rxjs';

/** An emergency whose signature and tenant have been checked, or which this process has signed itself. */
export interface EmergencyTold {
  readonly tenant: string;
  readonly killId: string;
  /** As it travels. */
  readonly jws: string;
  /** Milliseconds since the Unix epoch; nobody needs to be told after that. */
  readonly notAfter: number;
}

/**
 * Emergencies as this process comes to know them, from itself or from another replica. Whoever carries messages to
 * enforcement points tells them on. Telling one twice changes nothing.
 */
export class EmergencyEvents {
  readonly told = new Subject<EmergencyTold>();
  /** Committed for all its subjects, or lifted: who comes from now on learns of it from a snapshot. */
  readonly closed = new Subject<{ readonly tenant: string; readonly killId: string }>();
}
