import { containmentState, type ContainmentState } from '@sever/protocol';
import type { OrderRef, RevokedBoot, RosterBoot } from './roster.store';
import { byEnforcementPoint, standingOf, type BootStanding, type EpStanding } from './standing';

export interface OrderStanding {
  readonly boots: readonly BootStanding[];
  readonly points: readonly EpStanding[];
  readonly state: ContainmentState;
}

/**
 * Where an order stands, from what its roster has signed.
 *
 * @param boundPassed no lease from before the commit can run anywhere, by one replica's monotonic clock
 * @param unsettledMs so long leases may run that a restored database has forgotten; their boots are on no roster
 */
export function orderStanding(
  roster: readonly RosterBoot[],
  order: OrderRef,
  boundPassed: boolean,
  unsettledMs: number,
): OrderStanding {
  const boots = roster.map((boot) => standingOf(boot, order, boundPassed));
  const points = byEnforcementPoint(boots);
  const state = containmentState(points.map(({ status }) => status));
  // Each of those that are on the roster may still be done.
  const isOpen = state === 'contained' && unsettledMs > 0;
  return { boots, points, state: isOpen ? 'partial' : state };
}

/**
 * Of the boots that were revoked before an order: which may still admit what it stops?
 *
 * @param boundPassed for the place at which a boot was revoked, as above
 */
export function revokedAndLiving(
  revoked: readonly RevokedBoot[],
  boundPassed: (until: RevokedBoot['until']) => boolean,
): RevokedBoot[] {
  return revoked.filter(({ mode, until }) => mode === 'best_effort' || !boundPassed(until));
}
