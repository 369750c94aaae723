import type { KeyDirectory } from './key-directory';
import type { KeyRing } from './key-ring';
import type { Effect } from './machine-events';
import type { Logger } from './types';

export interface KeyRings {
  readonly tokenKeys: KeyRing;
  readonly streamKeys: KeyRing;
  readonly haltKeys: KeyRing;
  readonly keys: KeyDirectory;
  readonly logger: Logger;
}

/** Puts a key that the stream told of into its ring, or ends it there. Halt keys are also written down. */
export function learnKey(
  { purpose, kid, state, jwk }: Extract<Effect, { type: 'key' }>,
  { tokenKeys, streamKeys, haltKeys, keys, logger }: KeyRings,
): void {
  const ring = { token: tokenKeys, stream: streamKeys, halt: haltKeys }[purpose];
  if (state === 'dead') ring.kill(kid);
  else if (jwk !== null) ring.set(kid, jwk);
  if (purpose !== 'halt') return;
  keys.keepHaltKeys(haltKeys).catch((error: unknown) => {
    logger.error({ error: String(error), kid }, 'a halt key could not be written down');
  });
}
