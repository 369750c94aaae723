import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Processes, Started } from '../../src/demo/processes';
import { createRunFolder } from './run-folder';

export interface SidecarLaunch {
  /** The control plane, and a key with which a sidecar enrols. */
  readonly plane: { readonly url: string; readonly key: string };
  /** The text of its `sidecar.yaml`. */
  readonly config: string;
  readonly env?: Record<string, string>;
}

/** The command `sever sidecar` in a process of its own, as it is built. `found` is its address. */
export async function startSidecar(
  processes: Processes,
  { plane, config, env = {} }: SidecarLaunch,
): Promise<Started> {
  const folder = createRunFolder('sidecar');
  const file = join(folder, 'sidecar.yaml');
  writeFileSync(file, config);
  return await processes.start({
    name: 'the sidecar',
    args: ['bin/sever.js', 'sidecar', '--config', file],
    env: {
      SEVER_URL: plane.url,
      SEVER_ENROLMENT_KEY: plane.key,
      SEVER_SIDECAR_PORT: '0',
      SEVER_DATA_DIR: folder,
      ...env,
    },
    ready: /listening on (\S+)/,
  });
}
