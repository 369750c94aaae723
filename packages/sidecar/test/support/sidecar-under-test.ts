import { Sidecar, type SidecarParts } from '../../src/sidecar';
import type { Upstream } from '../../src/sidecar-file';
import { ScriptedEnforcer } from './scripted-enforcer';

export interface SidecarUnderTest {
  readonly sidecar: Sidecar;
  readonly enforcer: ScriptedEnforcer;
  readonly url: string;
  /** What it logged, one message each. */
  readonly logged: string[];
}

/** A real sidecar on a port of its own, before MCP servers given by name and url, or by all that a config says. */
export async function sidecarBefore(
  upstreams: Readonly<Record<string, string | Omit<Upstream, 'name' | 'kind'>>>,
  parts: Partial<SidecarParts> = {},
): Promise<SidecarUnderTest> {
  const enforcer = new ScriptedEnforcer();
  const logged: string[] = [];
  const log = (_fields: object, message: string): void => void logged.push(message);
  const sidecar = await Sidecar.listen(
    {
      host: '127.0.0.1',
      port: 0,
      upstreams: Object.entries(upstreams).map(([name, given]) => ({
        ...{ name, kind: 'mcp' },
        ...(typeof given === 'string' ? { url: given } : given),
      })),
    },
    { enforcer, logger: { info: log, warn: log, error: log }, drainMs: 100, ...parts },
  );
  return { sidecar, enforcer, url: sidecar.url, logged };
}
