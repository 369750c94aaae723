import type { CallContext } from '@sever/enforcement';

/**
 * What a message is about at the boundary. A tool is named by itself; everything else that takes authority carries its
 * kind before its name (`resource:file:///etc/hosts`, `prompt:review`, `method:x/y`), so that one grammar of scopes, and
 * one kind of subject to suspend, covers them all.
 */
export interface Called {
  readonly kind: 'tool' | 'resource' | 'prompt' | 'method';
  readonly name: string;
}

/** What a tool's own name must not begin with: it would pass for something else. */
export const KIND_PREFIX = /^(?:resource|prompt|method):/i;

/** The name under which rules of the config and scopes know it. */
export function boundaryName({ kind, name }: Called): string {
  return kind === 'tool' ? name : `${kind}:${name}`;
}

/** What is decided upon: `tool:<upstream>/<name>` is the scope that it takes. */
export function contextOf(
  upstream: string,
  called: Called,
  rest: Pick<CallContext, 'effect' | 'mode' | 'policy'>,
): CallContext {
  return { tool: `${upstream}/${boundaryName(called)}`, upstream, ...rest };
}
