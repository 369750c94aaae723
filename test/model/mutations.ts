import * as machines from './machine-mutations';
import * as keys from './key-mutations';
import * as mistakes from './logic-mutations';
import { SOUND, withLogic, withMachine, withoutRule, type Variation } from './rules';

/** Rules of the protocol, each taken out; random histories must show that it is missing. The rest is in `SCENARIOS`. */
export const MUTATIONS: readonly Variation[] = [
  withMachine('no gap detection', machines.NoGapDetection),
  withMachine('a gap is read as the next entry', machines.GapReadAsNext),
  withMachine('it admits before its snapshot', machines.AdmitsAtBoot),
  withMachine('it admits before its first lease', machines.AdmitsBeforeFirstLease),
  withMachine('strict goes on without a lease', machines.StrictWithoutLease),
  withMachine('best_effort does not say that it is stale', machines.StaleUnflagged),
  withMachine('fresh though not caught up', machines.FreshThoughBehind),
  withMachine('a lease of any epoch counts', machines.LeaseOfAnyEpoch),
  withMachine('no replay protection for leases', machines.NoReplayProtection),
  withMachine('a lease runs from the receipt of its reply', machines.LeaseFromReceiptTime),
  withMachine('a lease survives a suspended host', machines.IgnoresDrift),
  {
    ...withMachine('no hold and no cut when the lease lapses', machines.NoHoldAtLapse),
    heldByStanding: false,
  },
  withMachine('a receipt before applying', machines.ReceiptBeforeApplying),
  { ...SOUND, name: 'a receipt before work of the dead is aborted', abortsBeforeReceipt: false },
  withMachine('it ignores boot_id and nonce of a snapshot', machines.IgnoresBootId),
  withMachine('it ignores a new epoch', machines.IgnoresNewEpoch),
  withMachine('a snapshot replaces everything', machines.SnapshotReplacesAll),
  withMachine('an unknown op is passed over', machines.SkipsUnknownOps),
  withMachine('calls in flight are not aborted', machines.LetsCallsRun),
  withMachine('emergencies are ignored', machines.IgnoresEmergencies),
  withMachine('lifts are ignored', machines.IgnoresLifts),
  withoutRule('a snapshot is not atomic', 'snapshotIsAtomic'),
  withoutRule('a lease tells a remembered head', 'leaseReadsTheHead'),
  withoutRule('a restored database keeps its epoch', 'restoreOpensAnEpoch'),
  withoutRule('what is shown is not committed again', 'evidenceIsTaken'),
  withMachine('what was signed is not shown', machines.NeverShows),
  withoutRule('dark at once', 'darkWaitsForTheBound'),
  withMachine('keys in the stream are ignored', keys.IgnoresKeys),
  withMachine('a snapshot brings no keys', keys.SnapshotsBringNoKeys),
  withMachine('tokens outlive their key', keys.TokensOutliveTheirKey),
  withMachine('a killed enforcement point goes on', keys.IgnoresItsOwnKill),
  withoutRule('a key signs before it is announced', 'keysAreAnnounced'),
  withoutRule('a reinstatement forgets the floor', 'floorsOutliveReinstatement'),
  withoutRule('a new replica publishes nothing again', 'startPublishesAgain'),
  withLogic('a relay never rewinds', { RelayCursor: mistakes.NeverRewinds }),
  withLogic('a relay passes over gaps', { RelayCursor: mistakes.PassesOverGaps }),
  withLogic('nacks are overlooked', { orderStanding: mistakes.nacksAreOverlooked }),
  withLogic('best_effort becomes dark', { orderStanding: mistakes.bestEffortBecomesDark }),
];
