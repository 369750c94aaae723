import type { Logger } from '@sever/enforcement';
import { isDeepStrictEqual } from 'node:util';
import type { Metrics } from './metrics';
import type { ServedUpstreams } from './served-upstreams';
import type { Settings } from './settings';
import { SidecarError } from './sidecar-error';

/** What a running sidecar takes over from a file that has changed. */
export type Reloaded = Pick<Settings, 'upstreams'> & Partial<Settings>;

/** What it cannot: the enforcement point has enrolled with it, or it listens there. */
const AT_START = ['name', 'mode', 'records', 'accept', 'host', 'port', 'grpcPort'] as const;

interface ReloadParts {
  readonly served: ServedUpstreams;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

/**
 * Puts a changed config into force: for new calls, while those that run go on as they began. A config with a fault
 * changes nothing.
 *
 * @param now what is in force
 * @param read reads and checks the file
 * @returns what is in force from now on
 */
export function reload(now: Reloaded, read: () => Reloaded, parts: ReloadParts): Reloaded {
  const { served, metrics, logger } = parts;
  let next: Reloaded;
  try {
    next = read();
  } catch (error) {
    if (!(error instanceof SidecarError)) throw error;
    metrics.reloaded('refused');
    logger.error({ faults: error.message.split('\n') }, 'the changed config is not taken');
    return now;
  }
  served.replace(next.upstreams);
  metrics.reloaded('taken');
  const waits = AT_START.filter((key) => !isDeepStrictEqual(now[key], next[key]));
  const names = next.upstreams.map(({ name }) => name);
  if (waits.length > 0) logger.warn({ waits }, 'these settings wait for the next start');
  logger.info({ upstreams: names }, 'the changed config is in force');
  return { ...next, ...Object.fromEntries(waits.map((key) => [key, now[key]])) };
}
