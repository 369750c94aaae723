import { Processes } from '../../src/demo/processes';
import { startSidecar } from '../../test/support/sidecar-process';
import { Opened } from '../stage/opened';
import { Child } from '../stage/processes';
import { startStage, type Stage } from '../stage/stage';

export interface SidecarStage {
  readonly stage: Stage;
  /** What stands behind the sidecar, at `url`. */
  readonly upstream: { readonly child: Child; readonly url: string };
  /** The command `sever sidecar`, with an upstream `plain` of kind `http` and an MCP server `bench`. */
  readonly sidecar: { readonly url: string; readonly pid: number };
  readonly opened: Opened;
}

/** @param everyMs how often each event stream of the upstream says something */
export async function withSidecar<T>(
  everyMs: number,
  work: (stage: SidecarStage) => Promise<T>,
): Promise<T> {
  const opened = new Opened();
  try {
    const stage = opened.stop(await startStage());
    const child = opened.stop(Child.start('bench/sidecar/upstream-process.ts'));
    const { url } = await child.ask<{ url: string }>('listen', { everyMs });
    const processes = new Processes();
    opened.close(() => processes.stopAll());
    const { found, pid } = await startSidecar(processes, {
      plane: stage.api,
      config: [
        'name: bench',
        'upstreams:',
        `  - { name: plain, kind: http, url: '${url}' }`,
        `  - { name: bench, kind: mcp, url: '${url}/mcp' }`,
      ].join('\n'),
    });
    return await work({ stage, upstream: { child, url }, sidecar: { url: found, pid }, opened });
  } finally {
    await opened.closeAll();
  }
}

export const SCOPES = ['http:GET:plain/*', 'tool:bench/*'];
