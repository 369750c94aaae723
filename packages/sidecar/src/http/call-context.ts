import type { CallContext } from '@sever/enforcement';
import { strictness } from '../config/strictness';
import { ruleFor, type Upstream } from '../sidecar-file';

/** A method that a scope can name. TRACE would show the agent the upstream's credential; CONNECT is a tunnel. */
export const METHOD = /^(?!TRACE$|CONNECT$)[A-Z]{1,16}$/;

/** Methods that change nothing, unless the config says otherwise of a path (RFC 9110 §9.2.1). */
const READS = ['GET', 'HEAD', 'OPTIONS'];

/**
 * What a request is decided on: the scope `http:<METHOD>:<upstream>/<path>`, and whether it reads or writes.
 *
 * @param upgrade it becomes a two-way connection, which writes whatever its method is
 */
export function contextOf(
  upstream: Upstream,
  method: string,
  path: string,
  upgrade = false,
): CallContext {
  const names = [`${method} ${path}`, path];
  const rule = ruleFor(upstream, ...names);
  const reads = READS.includes(method) && !upgrade;
  return {
    scope: `http:${method}:${upstream.name}${path}`,
    upstream: upstream.name,
    effect: rule?.effect ?? (reads ? 'read' : 'write'),
    ...strictness(upstream, ...names),
  };
}
