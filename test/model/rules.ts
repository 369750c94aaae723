import { Machine } from '../../packages/enforcement/src/machine';

/** What the control plane of the model does; each switch takes one rule of the protocol out. */
export interface ControlPlaneRules {
  /** Position and contents of a snapshot are of one moment. */
  readonly snapshotIsAtomic: boolean;
  /** A boot is stored before its snapshot is read. */
  readonly bootIsStoredFirst: boolean;
  /** The head in a lease is read after the request arrived. */
  readonly leaseReadsTheHead: boolean;
  /** A boot that is not stored gets no lease. */
  readonly leaseKnowsTheBoot: boolean;
  /** A receipt counts for the process that signed it, not for its successors. */
  readonly receiptCountsForItsBoot: boolean;
  /** A database that has gone back opens a new epoch. */
  readonly restoreOpensAnEpoch: boolean;
  /** What enforcement points show of a lost epoch is committed again. */
  readonly evidenceIsTaken: boolean;
  /** No kill is called contained while leases from before the restore may run at boots that the database forgot. */
  readonly restoreWaitsForLeases: boolean;
  /** The bound of a kill is the longest policy that leases may still run under. */
  readonly boundCoversEarlierPolicies: boolean;
  /** `dark` waits for lease and margin. */
  readonly darkWaitsForTheBound: boolean;
  /** Best-effort enforcement points never become dark by silence. */
  readonly bestEffortIsNeverDark: boolean;
}

export interface Variation {
  readonly name: string;
  readonly machine: typeof Machine;
  readonly rules: ControlPlaneRules;
  /** A held call relays nothing even before the machine's timers run. */
  readonly heldByStanding: boolean;
  /** Work of the dead is aborted before the receipt leaves. */
  readonly abortsBeforeReceipt: boolean;
}

const EVERY_RULE: ControlPlaneRules = {
  snapshotIsAtomic: true,
  bootIsStoredFirst: true,
  leaseReadsTheHead: true,
  leaseKnowsTheBoot: true,
  receiptCountsForItsBoot: true,
  restoreOpensAnEpoch: true,
  evidenceIsTaken: true,
  restoreWaitsForLeases: true,
  boundCoversEarlierPolicies: true,
  darkWaitsForTheBound: true,
  bestEffortIsNeverDark: true,
};

export const SOUND: Variation = {
  name: 'the protocol as it is',
  machine: Machine,
  rules: EVERY_RULE,
  heldByStanding: true,
  abortsBeforeReceipt: true,
};

export function withoutRule(name: string, ...out: readonly (keyof ControlPlaneRules)[]): Variation {
  const rules = Object.fromEntries(out.map((rule) => [rule, false]));
  return { ...SOUND, name, rules: { ...EVERY_RULE, ...rules } };
}

export function withMachine(name: string, machine: typeof Machine): Variation {
  return { ...SOUND, name, machine };
}
