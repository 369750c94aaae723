import { systemClock, systemTimers } from './clock';

/** @param until monotonic milliseconds; left out: for ever @throws when it has not settled by then */
export async function within<T>(promise: Promise<T>, until: number | undefined): Promise<T> {
  if (until === undefined) return await promise;
  return await new Promise<T>((resolve, reject) => {
    const cancel = systemTimers.after(Math.max(0, until - systemClock.monotonic()), () =>
      reject(new Error('the control plane gave no snapshot and lease in time')),
    );
    promise.then(resolve, reject).finally(cancel);
  });
}
