import type { CallContext } from '@sever/enforcement';
import { isScope, toolScope, type Effect } from '@sever/protocol';

export const TOOL = 'sever:tool';
export const SCOPE = 'sever:scope';
export const EFFECT = 'sever:effect';

/** What a route's decorators say of it; nothing: the token must live, and no more. */
export function contextOf(read: (key: string) => unknown): CallContext {
  const tool = read(TOOL) as string | undefined;
  const scope = read(SCOPE) as string | undefined;
  const effect = read(EFFECT) as Effect | undefined;
  // A suspension of the upstream takes its HTTP scopes as well.
  const upstream = (tool ?? scope?.replace(/^tool:|^http:[A-Z]+:/, ''))?.split('/', 1)[0];
  return { tool, scope, effect, upstream };
}

/** @throws Error at the start of the service, when what is written can never be decided upon */
export function checkedTool(tool: string): string {
  if (/^[a-z0-9-]{1,32}\/[^*]+$/.test(tool) && isScope(toolScope(tool))) return tool;
  throw new Error(`@Tool('${tool}'): write <upstream>/<name>, such as 'billing/transfer'`);
}

/** @throws Error likewise */
export function checkedScope(scope: string): string {
  if (isScope(scope) && !scope.endsWith('*')) return scope;
  throw new Error(
    `@Scope('${scope}'): write one whole scope, such as 'http:GET:billing/v1/invoices'`,
  );
}
