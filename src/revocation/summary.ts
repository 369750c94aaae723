import type { Containment, KillState } from '@sever/protocol';

/** The warning of a kill that nobody is there to enforce. */
export const NO_ENFORCEMENT_POINTS = 'no_enforcement_points';

/** One sentence that a tired person can act on. It never says more than is proven. */
export function summarize(
  state: KillState,
  action: 'kill' | 'suspend' | 'complete',
  { required, enforced, dark, pending, nack, unknown }: Containment,
): string {
  const done = enforced + dark;
  const verb = action === 'suspend' ? 'Suspended' : action === 'complete' ? 'Completed' : 'Stopped';
  if (required === 0)
    return `${verb} in the control plane, which issues nothing more; no enforcement point was enrolled at that moment, so none has proven it.`;
  const points = `${required} enforcement point${required === 1 ? '' : 's'}`;
  if (state === 'contained')
    return `${verb} at all ${points}${dark > 0 ? ` (${dark} provably dark)` : ''}.`;
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

function clock(timestamp: string): string {
  return `${timestamp.slice(11, 19)}Z`;
}
