import type { CallContext } from '@sever/enforcement';
import { ruleFor, type Upstream, type UpstreamMode } from './upstream';

/**
 * Whether calls of an upstream, or of one thing that it serves, are strict by themselves, and whether they are only observed.
 *
 * @param names of that thing, as `ruleFor` takes them
 */
export function strictness(
  upstream: Pick<Upstream, 'mode' | 'tools' | 'policy'>,
  ...names: readonly string[]
): Pick<CallContext, 'mode' | 'policy'> {
  const mode = ruleFor(upstream, ...names)?.mode ?? upstream.mode;
  return {
    ...(mode === 'strict' && { mode }),
    ...(upstream.policy === 'observe' && { policy: 'observe' as const }),
  };
}

/** What the enforcement point reports: a kill is contained only by the weakest of what it stands before. */
export function weakestMode(own: UpstreamMode, upstreams: readonly Upstream[]): UpstreamMode {
  const modes = upstreams.flatMap(({ mode, tools = [] }) => [
    mode ?? own,
    ...tools.map((rule) => rule.mode ?? own),
  ]);
  return modes.includes('best_effort') ? 'best_effort' : own;
}

/** The upstreams, each with the mode that it has by itself or by the sidecar's. */
export function withMode(own: UpstreamMode, upstreams: readonly Upstream[]): readonly Upstream[] {
  return upstreams.map((upstream) => ({ ...upstream, mode: upstream.mode ?? own }));
}
