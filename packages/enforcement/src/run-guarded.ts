import type { TrackedCall } from './in-flight';

/**
 * Runs the work of an admitted call and ends the call with it.
 *
 * @throws the abort's reason at once when the call is cut, whether or not the work has noticed
 */
export async function runGuarded<T>(
  call: TrackedCall,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (call.signal.aborted) {
    call.end('aborted');
    throw call.signal.reason;
  }
  const running = (async () => await work(call.signal))();
  running.then(
    () => call.end('completed'),
    () => call.end('aborted'),
  );
  return await Promise.race([running, rejectedOnAbort(call.signal)]);
}

async function rejectedOnAbort(signal: AbortSignal): Promise<never> {
  return await new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}
