import { comparePositions, isOnRoster, type Mode, type Position } from '@sever/protocol';
import type { CoveringReceipt, RevokedBoot, RosterBoot } from '../../src/enforcement/roster.store';
import type { BootFacts } from '../../src/stream/boot-rules';

export interface StoredBoot {
  readonly bootId: string;
  readonly ep: string;
  readonly mode: Mode;
  readonly since: Position;
  readonly until?: Position | undefined;
  readonly left: boolean;
  /** On the database's clock. */
  readonly lastSeenAt: number;
  /** In the order of what they vouch for. */
  readonly receipts: readonly CoveringReceipt[];
}

/** What a backup holds of enforcement points. */
export interface BootTable {
  boots: Map<string, StoredBoot>;
  /** Enforcement points that were killed, each with its order. */
  revoked: Map<string, string>;
}

/** The tables `boot`, `receipt` and `enforcement_point`, as the database functions change and read them. */
export class Boots {
  constructor(
    readonly table: BootTable,
    private readonly head: Position,
    private readonly now: number,
  ) {}

  get(bootId: string): StoredBoot | undefined {
    return this.table.boots.get(bootId);
  }

  isRevoked(ep: string): boolean {
    return this.table.revoked.has(ep);
  }

  facts(bootId: string, ep: string): BootFacts {
    const boot = this.get(bootId);
    return {
      ...{ known: true, revoked: this.isRevoked(ep) },
      ...{ bootEp: boot?.ep ?? null, mode: boot?.mode ?? null, left: boot?.left ?? false },
    };
  }

  /** Stored, or back after it was retired for its silence; the one whose place it has taken is gone. */
  enter(bootId: string, ep: string, mode: Mode, replaces: string | undefined): void {
    const present = this.get(bootId);
    if (present === undefined)
      this.put({
        ...{ bootId, ep, mode, since: this.head, left: false, receipts: [] },
        lastSeenAt: this.now,
      });
    else if (present.ep === ep && !present.left)
      this.put({ ...present, until: undefined, lastSeenAt: this.now });
    const gone = replaces === undefined ? undefined : this.get(replaces);
    if (gone?.ep === ep) this.leave(gone.bootId);
  }

  leave(bootId: string): void {
    const boot = this.get(bootId);
    if (boot !== undefined && !boot.left)
      this.put({ ...boot, left: true, until: boot.until ?? this.head });
  }

  /** @returns false when it has been retired */
  renew(bootId: string): boolean {
    const boot = this.get(bootId);
    if (boot === undefined || boot.until !== undefined) return false;
    this.put({ ...boot, lastSeenAt: this.now });
    return true;
  }

  note(bootId: string): void {
    const boot = this.get(bootId);
    if (boot !== undefined) this.put({ ...boot, lastSeenAt: this.now });
  }

  retireSilent(silenceMs: number): void {
    for (const boot of this.table.boots.values())
      if (boot.mode === 'strict' && boot.until === undefined)
        if (boot.lastSeenAt < this.now - silenceMs) this.put({ ...boot, until: this.head });
  }

  /** The kill of an enforcement point: its processes are on no later roster. */
  revoke(ep: string, killId: string, at: Position): void {
    if (!this.isRevoked(ep)) this.table.revoked.set(ep, killId);
    for (const boot of this.table.boots.values())
      if (boot.ep === ep && boot.until === undefined) this.put({ ...boot, until: at });
  }

  /** @param returns whoever has not left may admit again, and so is on the roster again */
  reinstate(ep: string, returns: boolean): void {
    this.table.revoked.delete(ep);
    for (const boot of this.table.boots.values())
      if (returns && boot.ep === ep && !boot.left) this.put({ ...boot, until: undefined });
  }

  /** Each step once. */
  addReceipt(bootId: string, receipt: CoveringReceipt): void {
    const boot = this.get(bootId);
    if (boot === undefined) return;
    if (boot.receipts.some((one) => comparePositions(one, receipt) === 0)) return;
    this.put({ ...boot, receipts: [...boot.receipts, receipt].sort(comparePositions) });
  }

  roster(order: Position): RosterBoot[] {
    const boots = [...this.table.boots.values()].filter((boot) => isOnRoster(boot, order));
    return boots.map(({ bootId, ep, mode, since, until, left, receipts }) => {
      const receipt = receipts.find((one) => comparePositions(one, order) >= 0) ?? null;
      return {
        ...{ bootId, ep: { id: ep, name: ep }, mode, abort: 'stream', since, until, left, receipt },
        ...{ inFlight: null, staleAdmissions: 0 },
        behind: receipt === null ? (receipts.at(-1) ?? null) : null,
      };
    });
  }

  revokedBefore(order: Position): RevokedBoot[] {
    return [...this.table.boots.values()].flatMap(({ ep, mode, until, left, receipts }) => {
      if (left || until === undefined || !this.isRevoked(ep)) return [];
      const confirmed = receipts.some((one) => comparePositions(one, until) >= 0);
      return confirmed || comparePositions(until, order) >= 0
        ? []
        : [{ ep: { id: ep, name: ep }, mode, until }];
    });
  }

  private put(boot: StoredBoot): void {
    this.table.boots.set(boot.bootId, boot);
  }
}
