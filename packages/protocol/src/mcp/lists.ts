import { KIND_PREFIX, type Called } from './called';
import { uriFault } from './resource-uri';

/** Where in its result each list stands, and what its entries name. */
export const LISTS = {
  'tools/list': 'tools',
  'prompts/list': 'prompts',
  'resources/list': 'resources',
  'resources/templates/list': 'resourceTemplates',
  'tasks/list': 'tasks',
} as const;
export type ListKey = (typeof LISTS)[keyof typeof LISTS];

export const LIST_KEYS = Object.values(LISTS);

export function listOf(method: string | undefined): ListKey | undefined {
  return Object.hasOwn(LISTS, method ?? '') ? LISTS[method as keyof typeof LISTS] : undefined;
}

/** An entry of a list; whatever names nothing that could be called is none. */
export type ListEntry =
  { readonly called: Called } | { readonly template: string } | { readonly taskId: string };

export function entryOf(key: ListKey, entry: unknown): ListEntry | undefined {
  const { name, uri, uriTemplate, taskId } = (
    typeof entry === 'object' && entry !== null ? entry : {}
  ) as Record<string, unknown>;
  switch (key) {
    case 'tools':
      if (!isName(name) || KIND_PREFIX.test(name)) return undefined;
      return { called: { kind: 'tool', name } };
    case 'prompts':
      return isName(name) ? { called: { kind: 'prompt', name } } : undefined;
    case 'resources':
      if (!isName(uri) || uriFault(uri) !== undefined) return undefined;
      return { called: { kind: 'resource', name: uri } };
    case 'resourceTemplates':
      return isName(uriTemplate) ? { template: uriTemplate } : undefined;
    case 'tasks':
      return isName(taskId) ? { taskId } : undefined;
  }
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}

/** Which of the scopes that are held let something be read that the template can become. */
export function scopesForTemplate(
  held: readonly string[],
  upstream: string,
  template: string,
): string[] {
  const least = `tool:${upstream}/resource:${template.split('{', 1)[0] ?? ''}`;
  return held.filter(
    (scope) =>
      scope.startsWith(least) || (scope.endsWith('*') && least.startsWith(scope.slice(0, -1))),
  );
}
