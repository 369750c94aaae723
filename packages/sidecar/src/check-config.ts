import { variablesIn } from './config/environment-values';
import { SidecarError } from './sidecar-error';
import { readSidecarFile } from './sidecar-file';

export interface ConfigReport {
  readonly ok: boolean;
  /** For a person; one line per fault, each `file:line: what is wrong`. */
  readonly lines: readonly string[];
}

/**
 * Reads a `sidecar.yaml` as a sidecar would, without one. The secrets that it names need not be there: they are listed.
 *
 * @example
 * const { ok, lines } = checkConfig('sidecar.yaml');
 */
export function checkConfig(path: string): ConfigReport {
  try {
    const { upstreams = [] } = readSidecarFile(path);
    const needed = [
      ...new Set(upstreams.flatMap(({ credential }) => variablesIn(credential?.value ?? ''))),
    ];
    const count = upstreams.length === 1 ? '1 upstream' : `${upstreams.length} upstreams`;
    const needs = needed.length === 0 ? '' : `; it needs ${needed.join(', ')}`;
    return { ok: true, lines: [`${path}: ok, ${count}${needs}`] };
  } catch (error) {
    if (!(error instanceof SidecarError)) throw error;
    return { ok: false, lines: error.message.split('\n') };
  }
}
