/** Figures that both sides rely on. Milliseconds unless the name says otherwise. */

export const PULSE_INTERVAL_MS = 500;
/** A tenant's policy may set 2 s to 10 min. */
export const LEASE_VALID_MS = 10_000;
/** No token lives longer, and one that says it does is refused. */
export const MAX_TOKEN_SECONDS = 15 * 60;
/** A floor is kept at enforcement points this long after its commit: the longest token life and a margin. */
export const FLOOR_KEEP_MS = MAX_TOKEN_SECONDS * 1_000 + 60_000;
export const MAX_MESSAGE_BYTES = 256 * 1_024;
export const SNAPSHOT_CHUNK_BYTES = 256 * 1_024;
export const MAX_DEPTH = 64;
export const MAX_CHILDREN = 1_000;
export const MAX_LABELS = 16;
export const MAX_REFS = 16;
export const AGENT_LIFE_SECONDS = 24 * 60 * 60;
export const DEFAULT_AUDIENCE = 'sever';
export const WAIT_DEFAULT_MS = 2_000;
export const WAIT_MAX_MS = 30_000;
/** A strict boot that has been silent this long is retired from the roster. */
export const BOOT_SILENCE_MS = 20 * 60_000;
export const PROTOCOL_VERSION = 1;
