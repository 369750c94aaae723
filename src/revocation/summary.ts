import type { Containment, KillState } from '@sever/protocol';

/** The warning of a kill that nobody is there to enforce. */
export const NO_ENFORCEMENT_POINTS = 'no_enforcement_points';
/** The warning while a restored database may have forgotten enforcement points that still hold a lease. */
export const DATABASE_RESTORED = 'database_restored';

export interface SummarizedOrder {
  readonly action: 'kill' | 'suspend' | 'complete';
  readonly lifted: Undone | null;
  readonly reinstated: Undone | null;
}
interface Undone {
  readonly at: string;
  readonly by: { readonly name: string };
}

/** One sentence that a tired person can act on. It never says more than is proven. */
export function summarize(
  order: SummarizedOrder,
  state: KillState,
  { required, enforced, dark, pending, nack, unknown }: Containment,
): string {
  const { action } = order;
  const undone = undoing(order);
  if (undone !== null) return undone;
  const done = enforced + dark;
  const verb = action === 'suspend' ? 'Suspended' : action === 'complete' ? 'Completed' : 'Stopped';
  if (required === 0)
    return `${verb} in the control plane, which issues nothing more; no enforcement point was enrolled at that moment, so none has proven it.`;
  const points = `${required} enforcement point${required === 1 ? '' : 's'}`;
  if (state === 'contained')
    return `${verb} at all ${points}${dark > 0 ? ` (${dark} provably dark)` : ''}.`;
  if (state === 'partial' && done === required)
    return `${verb} at all ${points} that are known; the database was restored a short while ago, and one that it has forgotten is provably dark only later.`;
  const open = [
    ...nack.map(({ name }) => `${name} could not apply the order: restart or update it`),
    ...unknown.map(
      ({ name }) => `${name} is silent and may still admit calls: stop it or cut its network`,
    ),
    ...pending.map(({ name, dark_by }) =>
      dark_by === null
        ? `${name} has not answered yet and decides on its last view`
        : `${name} has not answered yet, provably dark by ${clock(dark_by)}`,
    ),
  ];
  const listed = open.slice(0, 3).join('; ');
  const rest = open.length > 3 ? `; and ${open.length - 3} more` : '';
  return `${verb} at ${done} of ${points}; ${listed}${rest}.`;
}

/** What has been undone is over, whatever the enforcement points said to it. */
function undoing({ lifted, reinstated }: SummarizedOrder): string | null {
  if (lifted !== null)
    return `Lifted at ${clock(lifted.at)} by ${lifted.by.name}; nothing is held back by it any more.`;
  if (reinstated !== null)
    return `Released at ${clock(reinstated.at)} by ${reinstated.by.name}: new credentials work again, what was issued before stays dead.`;
  return null;
}

function clock(timestamp: string): string {
  return `${new Date(timestamp).toISOString().slice(11, 19)}Z`;
}
