import {
  enforcementStatus,
  type EnforcementStatus,
  type KillReceipt,
  type Mode,
} from '@sever/protocol';
import { formatPosition } from '@sever/protocol';
import type { OrderRef, RosterBoot } from './roster.store';

/** One boot with regard to one order. */
export interface BootStanding {
  readonly boot: RosterBoot;
  readonly status: EnforcementStatus;
  readonly nack: string | null;
  /** Commit to receipt, milliseconds, an upper bound; `null` unless both were taken on one clock. */
  readonly latencyMs: number | null;
}

/** One enforcement point with regard to one order: all of its boots that were on the roster. */
export interface EpStanding {
  readonly id: string;
  readonly name: string;
  readonly mode: Mode;
  readonly status: EnforcementStatus;
  readonly boots: readonly BootStanding[];
}

export function standingOf(boot: RosterBoot, order: OrderRef, boundPassed: boolean): BootStanding {
  const position = { epoch: order.epoch, seq: order.lastSeq };
  const nack = nackOf(boot, order);
  const status = enforcementStatus(
    {
      mode: boot.mode,
      since: boot.since,
      until: boot.until,
      left: boot.left,
      applied: boot.receipt ?? boot.behind ?? undefined,
      nacked: nack !== null,
    },
    position,
    boundPassed,
  );
  return { boot, status, nack, latencyMs: status === 'enforced' ? latency(boot, order) : null };
}

/** What is worst about any of its boots is what is true of the enforcement point. */
const WORST_FIRST: readonly EnforcementStatus[] = [
  'nack',
  'pending',
  'unknown',
  'enforced',
  'dark',
];

export function byEnforcementPoint(standings: readonly BootStanding[]): EpStanding[] {
  const groups = new Map<string, BootStanding[]>();
  for (const standing of standings) {
    const group = groups.get(standing.boot.ep.id) ?? [];
    groups.set(standing.boot.ep.id, group);
    group.push(standing);
  }
  return [...groups.entries()].flatMap(([id, boots]) => {
    const [worst] = [...boots].sort(
      (a, b) => WORST_FIRST.indexOf(a.status) - WORST_FIRST.indexOf(b.status),
    );
    if (worst === undefined) return [];
    return { id, name: worst.boot.ep.name, mode: worst.boot.mode, status: worst.status, boots };
  });
}

export function toKillReceipt({ boot, status, latencyMs }: BootStanding): KillReceipt {
  const applied = boot.receipt ?? boot.behind;
  return {
    enforcement_point: { id: boot.ep.id, name: boot.ep.name, mode: boot.mode },
    boot_id: boot.bootId,
    status,
    applied: applied === null ? null : formatPosition(applied),
    received_at: boot.receipt?.receivedAt.toISOString() ?? null,
    latency_ms: latencyMs,
    in_flight: boot.inFlight,
    stale_admissions: boot.staleAdmissions,
    jws: boot.receipt?.jws ?? null,
  };
}

function nackOf({ receipt }: RosterBoot, order: OrderRef): string | null {
  if (receipt?.epoch !== order.epoch) return null;
  const first = order.firstSeq ?? order.lastSeq;
  const nacks = receipt.nacks.filter(({ seq }) => first <= seq && seq <= order.lastSeq);
  return nacks.length === 0 ? null : nacks.map(({ error }) => error).join('; ');
}

/** Only one clock can say how long something took; and no clock of an enforcement point but for what it held back. */
function latency({ receipt }: RosterBoot, order: OrderRef): number | null {
  if (receipt === null || order.committedMonoMs === null || receipt.replica !== order.replica)
    return null;
  const ms = receipt.receivedMonoMs - receipt.heldMs - order.committedMonoMs;
  return Math.round(Math.max(0, ms) * 100) / 100;
}
