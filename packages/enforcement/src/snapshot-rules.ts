import {
  comparePositions,
  MAX_TOKEN_SECONDS,
  type DenialView,
  type Position,
  type SnapshotItem,
  type SnapshotManifest,
} from '@sever/protocol';
import type { Chain } from './chain';
import type { Instant } from './clock';
import type { Effect } from './machine-events';

/** Which snapshots count, and what they change. */
export class SnapshotRules {
  constructor(private readonly bootId: string) {}

  /** A snapshot made for an earlier process would be older than what this one may have acknowledged. */
  isForThisBoot(manifest: SnapshotManifest): boolean {
    return manifest.boot_id === this.bootId;
  }

  isOlder(manifest: SnapshotManifest, chain: Chain): boolean {
    const at: Position = { epoch: chain.epoch, seq: chain.applied };
    return comparePositions(manifest, at) < 0;
  }

  contradicts(manifest: SnapshotManifest, chain: Chain): boolean {
    return (
      manifest.epoch === chain.epoch &&
      manifest.seq === chain.applied &&
      manifest.digest !== chain.digest
    );
  }

  /** Floors live as long as a token: after a longer silence some may have come and gone unseen. */
  floorsMayBeMissing(
    caughtUp: { readonly mono: number; readonly now: number } | null,
    manifest: SnapshotManifest,
    at: Instant,
  ): boolean {
    if (caughtUp === null) return false;
    return (
      Math.max(at.mono - caughtUp.mono, manifest.now - caughtUp.now) > MAX_TOKEN_SECONDS * 1_000
    );
  }

  merge(view: DenialView, manifest: SnapshotManifest, items: readonly SnapshotItem[]): Effect[] {
    const keys: Effect[] = [];
    for (const item of items)
      if (item[0] === 'k') {
        const [, purpose, kid, state, jwk] = item;
        keys.push({ type: 'key', purpose, kid, state, jwk });
        // The snapshot names no order for a dead key; its own id stands for one.
        if (purpose === 'token' && state === 'dead')
          view.stopInEmergency(kid, `signing_key:${kid}`);
      }
    const { epoch, seq } = manifest;
    view.merge({
      epoch,
      seq,
      floors: pick(items, 'f', ([, subject, generation, keepUntil, killId]) => [
        subject,
        {
          ...{ generation, keepUntil, killId },
          // It does not say how the order was meant: whoever has not heard that from the order itself cuts.
          ...(view.drains(subject, generation) && { cutBelow: 0 }),
        },
      ]),
      suspensions: pick(items, 's', ([, id, subject, level, itemSeq]) => [
        id,
        { subject, level: level ?? undefined, epoch, seq: itemSeq },
      ]),
      emergencies: pick(items, 'e', ([, killId, subject]) => [killId, subject]),
      lifted: pick(items, 'l', ([, id]) => id),
    });
    return keys;
  }
}

type ItemOf<K extends SnapshotItem[0]> = Extract<SnapshotItem, readonly [K, ...unknown[]]>;

function* pick<K extends SnapshotItem[0], T>(
  items: readonly SnapshotItem[],
  kind: K,
  map: (item: ItemOf<K>) => T,
): Generator<T> {
  for (const item of items) if (item[0] === kind) yield map(item as ItemOf<K>);
}
