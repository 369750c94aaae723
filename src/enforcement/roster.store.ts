import { Inject, Injectable } from '@nestjs/common';
import type { InFlightCounts, Mode, Position } from '@sever/protocol';
import type { z } from 'zod';
import { KillPool } from '../database/kill-pool';

/** What containment has to know of an order. */
export interface OrderRef {
  readonly id: string;
  readonly epoch: number;
  /** First of its entries; by default its last. */
  readonly firstSeq?: number;
  readonly lastSeq: number;
  /** The longest lease that can have been out at its commit, milliseconds. */
  readonly leaseValidMs: number;
  /** Replica that committed it, and its monotonic clock at that moment; `null` when unknown. */
  readonly replica: string | null;
  readonly committedMonoMs: number | null;
}

/** The first receipt of a boot that covers an order. */
export interface CoveringReceipt extends Position {
  readonly receivedAt: Date;
  readonly heldMs: number;
  readonly replica: string;
  readonly receivedMonoMs: number;
  readonly nacks: readonly { readonly seq: number; readonly error: string }[];
  readonly jws: string;
}

/** One boot on an order's roster. */
export interface RosterBoot {
  readonly bootId: string;
  readonly ep: { readonly id: string; readonly name: string };
  readonly mode: Mode;
  readonly abort: 'stream' | 'signal' | 'none';
  readonly since: Position;
  readonly until: Position | undefined;
  readonly left: boolean;
  readonly receipt: CoveringReceipt | null;
  readonly inFlight: z.infer<typeof InFlightCounts> | null;
  /** Let through without a lease since its start. */
  readonly staleAdmissions: number;
  /** The newest place it has signed for, when that does not cover the order. */
  readonly behind: Position | null;
}

/** A living boot of an enforcement point that was revoked before the order, and has not confirmed its own end. */
export interface RevokedBoot {
  readonly ep: { readonly id: string; readonly name: string };
  readonly mode: Mode;
  readonly until: Position;
}

export interface Roster {
  readonly boots: readonly RosterBoot[];
  readonly revoked: readonly RevokedBoot[];
}

interface BootRow {
  n: string;
  boot_id: string;
  ep_id: string;
  name: string;
  mode: Mode;
  abort: RosterBoot['abort'];
  since_epoch: string;
  since_seq: string;
  until_epoch: string | null;
  until_seq: string | null;
  left: boolean;
  r_epoch: string | null;
  r_applied: string;
  received_at: Date;
  held_ms: number;
  replica: string;
  received_mono_ms: number;
  nacks: CoveringReceipt['nacks'];
  jws: string;
  in_flight: RosterBoot['inFlight'];
  behind_epoch: string | null;
  behind_applied: string;
  stale_admissions: string;
}

const ORDERS = `unnest($2::text[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS o(id, epoch, seq, n)`;

/**
 * The roster is derived from the boots: since < order <= until. Counts of calls in flight may still grow after the
 * covering receipt, so they come from the newest of the few that follow it.
 */
const ROSTERS = `
  SELECT o.n, b.boot_id, b.ep_id, e.name, b.mode, b.abort, b.since_epoch, b.since_seq, b.until_epoch, b.until_seq,
         b.left_at IS NOT NULL AS left, r.epoch AS r_epoch, r.applied AS r_applied, r.received_at, r.held_ms, r.replica,
         r.received_mono_ms, r.nacks, r.jws, f.counts AS in_flight, p.epoch AS behind_epoch, p.applied AS behind_applied,
         b.stale_admissions
  FROM ${ORDERS}
  JOIN boot b ON b.tenant = $1 AND (b.since_epoch, b.since_seq) < (o.epoch, o.seq)
    AND (b.until_epoch IS NULL OR (b.until_epoch, b.until_seq) >= (o.epoch, o.seq))
  JOIN enforcement_point e ON e.tenant = $1 AND e.id = b.ep_id
  LEFT JOIN LATERAL (
    SELECT * FROM receipt x
    WHERE x.tenant = $1 AND x.boot_id = b.boot_id AND (x.epoch, x.applied) >= (o.epoch, o.seq)
    ORDER BY x.epoch, x.applied LIMIT 1) r ON true
  LEFT JOIN LATERAL (
    SELECT y.in_flight->o.id AS counts FROM (
      SELECT x.epoch, x.applied, x.in_flight FROM receipt x
      WHERE x.tenant = $1 AND x.boot_id = b.boot_id AND (x.epoch, x.applied) >= (o.epoch, o.seq)
      ORDER BY x.epoch, x.applied LIMIT 20) y
    WHERE y.in_flight ? o.id ORDER BY y.epoch DESC, y.applied DESC LIMIT 1) f ON r.boot_id IS NOT NULL
  LEFT JOIN LATERAL (
    SELECT x.epoch, x.applied FROM receipt x WHERE x.tenant = $1 AND x.boot_id = b.boot_id
    ORDER BY x.epoch DESC, x.applied DESC LIMIT 1) p ON r.boot_id IS NULL
  ORDER BY o.n, e.name, b.created_at`;

const REVOKED = `
  SELECT o.n, e.id AS ep_id, e.name, b.mode, b.until_epoch, b.until_seq
  FROM ${ORDERS}
  JOIN enforcement_point e ON e.tenant = $1 AND e.revoked_at IS NOT NULL
  JOIN boot b ON b.tenant = $1 AND b.ep_id = e.id AND b.left_at IS NULL
    AND (b.until_epoch, b.until_seq) < (o.epoch, o.seq)
  WHERE NOT EXISTS (
    SELECT FROM receipt x WHERE x.tenant = $1 AND x.boot_id = b.boot_id
      AND (x.epoch, x.applied) >= (b.until_epoch, b.until_seq))
  ORDER BY o.n, e.name`;

@Injectable()
export class RosterStore {
  constructor(@Inject(KillPool) private readonly kills: Pick<KillPool, 'read'>) {}

  /** The rosters of these orders of one tenant, in their order. */
  async rosters(tenant: string, orders: readonly OrderRef[]): Promise<Roster[]> {
    const rosters = orders.map(() => ({ boots: [] as RosterBoot[], revoked: [] as RevokedBoot[] }));
    if (orders.length === 0) return rosters;
    const parameters = [
      tenant,
      orders.map((order) => order.id),
      orders.map((order) => order.epoch),
      orders.map((order) => order.lastSeq),
    ];
    const [boots, revoked] = await Promise.all([
      this.kills.read<BootRow>(ROSTERS, parameters),
      this.kills.read<BootRow>(REVOKED, parameters),
    ]);
    for (const row of boots) rosters[Number(row.n) - 1]?.boots.push(toBoot(row));
    for (const row of revoked)
      rosters[Number(row.n) - 1]?.revoked.push({
        ep: { id: row.ep_id, name: row.name },
        mode: row.mode,
        until: { epoch: Number(row.until_epoch), seq: Number(row.until_seq) },
      });
    return rosters;
  }
}

function toBoot(row: BootRow): RosterBoot {
  return {
    bootId: row.boot_id,
    ep: { id: row.ep_id, name: row.name },
    mode: row.mode,
    abort: row.abort,
    since: { epoch: Number(row.since_epoch), seq: Number(row.since_seq) },
    until:
      row.until_epoch === null
        ? undefined
        : { epoch: Number(row.until_epoch), seq: Number(row.until_seq) },
    left: row.left,
    receipt:
      row.r_epoch === null
        ? null
        : {
            epoch: Number(row.r_epoch),
            seq: Number(row.r_applied),
            receivedAt: row.received_at,
            heldMs: row.held_ms,
            replica: row.replica,
            receivedMonoMs: row.received_mono_ms,
            nacks: row.nacks,
            jws: row.jws,
          },
    inFlight: row.in_flight,
    staleAdmissions: Number(row.stale_admissions),
    behind:
      row.behind_epoch === null
        ? null
        : { epoch: Number(row.behind_epoch), seq: Number(row.behind_applied) },
  };
}
