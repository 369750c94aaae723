import { darkAfterMs, type Containment, type Kill } from '@sever/protocol';

/** Exit codes of every command; scripts and playbooks decide by them. */
export const EXIT = {
  contained: 0,
  refused: 1,
  usage: 2,
  pending: 3,
  stuck: 4,
  emergency: 5,
} as const;

/** The longest lease that a tenant's policy can grant. */
const LONGEST_LEASE_MS = 10 * 60_000;
/** The server's clock is known to the second. */
const CLOCK_MARGIN_MS = 2_000;

/**
 * What a kill's state means to a script.
 *
 * @param now the server's wall clock, milliseconds since the epoch
 */
export function exitCodeOf(kill: Kill, now: number): number {
  switch (kill.state) {
    case 'contained':
      return EXIT.contained;
    case 'emergency':
      return EXIT.emergency;
    case 'refused':
      return EXIT.refused;
    case 'committed':
    case 'partial':
      return isStuck(kill, now) ? EXIT.stuck : EXIT.pending;
  }
}

/** Waiting longer changes nothing by itself: somebody must look at an enforcement point. */
function isStuck(kill: Kill, now: number): boolean {
  const { nack, unknown, pending, enforced_by: enforcedBy } = kill.containment;
  if (nack.length > 0 || unknown.length > 0) return true;
  const lastBound = Date.parse(kill.created_at) + darkAfterMs(LONGEST_LEASE_MS);
  const boundOf = (point: Containment['pending'][number]) => {
    const known = point.dark_by ?? enforcedBy;
    return known === null ? lastBound : Date.parse(known);
  };
  return pending.length > 0 && pending.every((point) => now > boundOf(point) + CLOCK_MARGIN_MS);
}

/** Can waiting still change the kill's state? Not when nobody is left to answer. */
export function isSettled(kill: Kill): boolean {
  return (
    kill.state === 'contained' || kill.state === 'emergency' || !kill.containment.pending.length
  );
}

/** The code that stands for all of them: the gravest. */
export function gravest(codes: readonly number[]): number {
  const order: readonly number[] = [
    EXIT.contained,
    EXIT.refused,
    EXIT.pending,
    EXIT.stuck,
    EXIT.emergency,
  ];
  return codes.reduce(
    (worst, code) => (order.indexOf(code) > order.indexOf(worst) ? code : worst),
    0,
  );
}
