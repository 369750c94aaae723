import type { WrittenSidecarFile } from './file-schema';

export interface Fault {
  readonly path: readonly PropertyKey[];
  readonly says: string;
}

const LATER = 'is not served by this version; leave it out';

/** Keys whose shape is settled and whose behaviour is not built: a file must not promise what nothing keeps. */
export function notServed({ accept }: WrittenSidecarFile): Fault[] {
  return accept === undefined ? [] : [{ path: ['accept'], says: LATER }];
}
