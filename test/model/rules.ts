import { Machine } from '../../packages/enforcement/src/machine';
import { KeyRing } from '../../packages/enforcement/src/key-ring';
import { SERVER, type ControlPlaneLogic } from './logic';

/**
 * What surrounds the shared logic in the model, in the place of statements, locks and transactions of the server; each
 * switch takes one rule of the protocol out.
 */
export interface ControlPlaneRules {
  /** Position and contents of a snapshot are of one moment. */
  readonly snapshotIsAtomic: boolean;
  /** A boot is stored before its snapshot is read. */
  readonly bootIsStoredFirst: boolean;
  /** The head in a lease is read after the request arrived. */
  readonly leaseReadsTheHead: boolean;
  /** A receipt counts for the process that signed it, not for its successors. */
  readonly receiptCountsForItsBoot: boolean;
  /** A database that has gone back opens a new epoch. */
  readonly restoreOpensAnEpoch: boolean;
  /** What enforcement points show of a lost epoch is committed again. */
  readonly evidenceIsTaken: boolean;
  /** The bound of a kill is the longest policy that leases may still run under. */
  readonly boundCoversEarlierPolicies: boolean;
  /** `dark` waits for lease and margin. */
  readonly darkWaitsForTheBound: boolean;
  /** What a control plane that died has committed is published by whoever comes next. */
  readonly startPublishesAgain: boolean;
  /** The floor that a kill has raised outlives the reinstatement: whatever was minted before it stays dead. */
  readonly floorsOutliveReinstatement: boolean;
  /** The processes of an enforcement point that is reinstated are on the roster again. */
  readonly reinstatedPointsReturn: boolean;
  /** A key signs tokens only after it was announced. */
  readonly keysAreAnnounced: boolean;
}

export interface Variation {
  readonly name: string;
  readonly machine: typeof Machine;
  readonly keyRing: typeof KeyRing;
  readonly logic: ControlPlaneLogic;
  readonly rules: ControlPlaneRules;
  /** A held call relays nothing even before the machine's timers run. */
  readonly heldByStanding: boolean;
  /** Work of the dead is aborted before the receipt leaves. */
  readonly abortsBeforeReceipt: boolean;
  /** Where the broker fails, an enforcement point that may do so listens to the control plane itself. */
  readonly secondRoad: boolean;
  /** A process says that it leaves only when it refuses everything. */
  readonly refusesBeforeLeaving: boolean;
}

const EVERY_RULE: ControlPlaneRules = {
  snapshotIsAtomic: true,
  bootIsStoredFirst: true,
  leaseReadsTheHead: true,
  receiptCountsForItsBoot: true,
  restoreOpensAnEpoch: true,
  evidenceIsTaken: true,
  boundCoversEarlierPolicies: true,
  darkWaitsForTheBound: true,
  startPublishesAgain: true,
  floorsOutliveReinstatement: true,
  reinstatedPointsReturn: true,
  keysAreAnnounced: true,
};

export const SOUND: Variation = {
  name: 'the protocol as it is',
  machine: Machine,
  keyRing: KeyRing,
  logic: SERVER,
  rules: EVERY_RULE,
  heldByStanding: true,
  abortsBeforeReceipt: true,
  secondRoad: true,
  refusesBeforeLeaving: true,
};

export function withoutRule(name: string, ...out: readonly (keyof ControlPlaneRules)[]): Variation {
  const rules = Object.fromEntries(out.map((rule) => [rule, false]));
  return { ...SOUND, name, rules: { ...EVERY_RULE, ...rules } };
}

export function withMachine(name: string, machine: typeof Machine): Variation {
  return { ...SOUND, name, machine };
}

/** The control plane with a mistake in what it runs. */
export function withLogic(name: string, mistake: Partial<ControlPlaneLogic>): Variation {
  return { ...SOUND, name, logic: { ...SERVER, ...mistake } };
}
