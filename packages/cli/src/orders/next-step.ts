import type { Kill } from '@sever/protocol';
import { EXIT } from '../exit-code';

export const EXIT_CODES = `
Exit codes:
  0 contained   every enforcement point refuses it, or is provably dark
  1 refused     the control plane said no, or was never reached
  2 usage       the command line is wrong; nothing was sent
  3 pending     committed; enforcement points have yet to answer
  4 stuck       an enforcement point failed or is silent past its bound, or it is not known whether the order was committed
  5 emergency   taken without the database; enforced, not yet recorded
`;

/** `kill`, `suspension`: what the order is called in a sentence. */
export function nameOf({ action }: Pick<Kill, 'action'>): string {
  return action === 'suspend' ? 'suspension' : action;
}

/** What to do about an order that is not contained. */
export function nextStep(code: number, result: Kill): string {
  const { required, nack, unknown, pending } = result.containment;
  const look = `sever kills ${result.id}`;
  if (code === EXIT.refused) {
    return `nothing of this ${nameOf(result)} stands: ${result.refused?.detail ?? 'the database refused it'} Give the order again`;
  }
  if (code === EXIT.emergency) {
    return `taken by the emergency road; it is recorded once the database is back. Look: ${look}`;
  }
  if (required === 0)
    return `no enforcement point stands behind this ${nameOf(result)}. Enrol one, then: ${look}`;
  if (code === EXIT.stuck) {
    const names = [...new Set([...nack, ...unknown, ...pending].map((point) => point.name))];
    return `not contained: stop or restart ${names.join(', ')} (or cut its network), then: ${look}`;
  }
  return `the ${nameOf(result)} stands; not every enforcement point has answered yet. Look again: ${look}`;
}
