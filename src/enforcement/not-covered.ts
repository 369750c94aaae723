import type { Containment } from '@sever/protocol';
import type { RevokedBoot } from './roster.store';
import type { EpStanding } from './standing';

type NotCovered = Containment['not_covered'];

/** What an order does not stop, or of which nobody can say. A reader must not take "contained" for more than it is. */
export function notCovered(
  points: readonly EpStanding[],
  revoked: readonly RevokedBoot[],
): NotCovered {
  return [...points.flatMap(ofPoint), ...oncePerPoint(revoked).map(ofRevoked)];
}

function ofPoint(point: EpStanding): NotCovered {
  const enforcement_point = { id: point.id, name: point.name };
  const found: NotCovered = [];
  if (point.status === 'unknown')
    found.push({
      what: 'enforcement_point',
      enforcement_point,
      detail: `${point.name} is silent and works best-effort: it may still admit what was stopped.`,
    });
  const dark = point.boots.filter(({ status }) => status === 'dark');
  if (dark.some(({ boot }) => boot.abort !== 'stream'))
    found.push({
      what: 'in_flight',
      enforcement_point,
      detail: `${point.name} is dark and admits nothing, but what was in flight there is not known to have ended.`,
    });
  const stale = point.boots.reduce((sum, { boot }) => sum + boot.staleAdmissions, 0);
  if (stale > 0)
    found.push({
      what: 'stale_admissions',
      enforcement_point,
      count: stale,
      detail: `${point.name} works best-effort and has let ${stale} calls through without a lease since its start; what it did not know then, it did not refuse.`,
    });
  const uncontrolled = point.boots.reduce(
    (sum, { boot }) => sum + (boot.inFlight?.uncontrolled ?? 0),
    0,
  );
  if (uncontrolled > 0)
    found.push({
      what: 'uncontrolled_calls',
      enforcement_point,
      count: uncontrolled,
      detail: `${uncontrolled} calls at ${point.name} were told to stop and have not ended, or could not be cut.`,
    });
  return found;
}

function ofRevoked({ ep }: RevokedBoot): NotCovered[number] {
  return {
    what: 'revoked_enforcement_point',
    enforcement_point: { id: ep.id, name: ep.name },
    detail: `${ep.name} was revoked before this order and has not confirmed that it refuses everything.`,
  };
}

function oncePerPoint(revoked: readonly RevokedBoot[]): RevokedBoot[] {
  return [...new Map(revoked.map((boot) => [boot.ep.id, boot])).values()];
}
