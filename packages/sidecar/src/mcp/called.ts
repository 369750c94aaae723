import type { CallContext } from '@sever/enforcement';
import { boundaryName, type Called } from '@sever/protocol';

/** What is decided upon: `tool:<upstream>/<name>` is the scope that it takes. */
export function contextOf(
  upstream: string,
  called: Called,
  rest: Pick<CallContext, 'effect' | 'mode' | 'policy'>,
): CallContext {
  return { tool: `${upstream}/${boundaryName(called)}`, upstream, ...rest };
}
