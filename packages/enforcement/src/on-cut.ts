import { refusal } from './decide';
import { RefusedError, type InFlightCall } from './types';

/**
 * For work that cannot be held back byte by byte: told once that the call must end, because of an order, or because its
 * enforcement point no longer knows whether there is one.
 *
 * @param listener may be called at once
 */
export function onCut(call: InFlightCall, listener: (refused: RefusedError) => void): void {
  let isTold = false;
  const tell = (refused: RefusedError): void => {
    if (isTold) return;
    isTold = true;
    listener(refused);
  };
  const onAbort = (): void => tell(call.signal.reason as RefusedError);
  const onHold = (held: boolean): void => {
    if (held) tell(new RefusedError(refusal('enforcement_stale', true)));
  };
  call.signal.addEventListener('abort', onAbort, { once: true });
  call.onHold(onHold);
  if (call.signal.aborted) onAbort();
  else onHold(call.held);
}
