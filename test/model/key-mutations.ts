import {
  knownOp,
  type DenialView,
  type Entry,
  type SnapshotItem,
  type SnapshotManifest,
} from '@sever/protocol';
import { DenialRules } from '../../packages/enforcement/src/denial-rules';
import { Machine } from '../../packages/enforcement/src/machine';
import type { Effect } from '../../packages/enforcement/src/machine-events';
import { SnapshotRules } from '../../packages/enforcement/src/snapshot-rules';

class Keyless extends DenialRules {
  override apply(entry: Entry): Effect[] {
    return super.apply(entry).filter(({ type }) => type !== 'key');
  }
}

/** Learns no key from the stream. */
export class IgnoresKeys extends Machine {
  protected override readonly denials = new Keyless(this.view, this.emergencies);
}

class KeylessSnapshots extends SnapshotRules {
  override merge(view: DenialView, manifest: SnapshotManifest, items: readonly SnapshotItem[]) {
    return super.merge(view, manifest, items).filter(({ type }) => type !== 'key');
  }
}

/** Learns no key from a snapshot. */
export class SnapshotsBringNoKeys extends Machine {
  protected override readonly snapshots = new KeylessSnapshots(this.options.bootId);
}

class SparesKeys extends DenialRules {
  override deny(entry: Entry): Effect[] {
    const op = knownOp(entry);
    const isOfKey = op?.op === 'suspend' && op.subject.startsWith('signing_key:');
    return isOfKey ? [] : super.deny(entry);
  }
}

/** Goes on admitting what a killed key has signed. */
export class TokensOutliveTheirKey extends Machine {
  protected override readonly denials = new SparesKeys(this.view, this.emergencies);
}

/** Shows only what an epoch has brought that it followed itself. */
export class ForgetsWhatCameFirst extends Machine {
  protected override onEpochEnd(next: number): void {
    super.onEpochEnd(next);
    if (!this.snapshotHeld) this.evidence.taken();
  }
}

/** Applies the kill of itself like any other. */
export class IgnoresItsOwnKill extends Machine {
  protected override watchSelf(): void {
    // Nothing: that is the mutation.
  }
}
