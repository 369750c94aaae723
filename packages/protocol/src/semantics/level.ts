/**
 * How much a suspension takes away: `deny_all`, `deny_writes`, `deny_tools:[<upstream>/<name>,…]` (a name may end in `*`)
 * or `deny_spawn`. Absent means `deny_all`, and so does every level that a reader does not know: a newer control plane's
 * narrower order is widened by an older enforcement point, never ignored.
 */
export type Level =
  | { readonly takes: 'all' | 'writes' | 'spawn' }
  | { readonly takes: 'tools'; readonly tools: readonly string[] };

/** Levels that are one word. */
export const PLAIN_LEVELS = ['deny_all', 'deny_writes', 'deny_spawn'] as const;
/** What may be asked for, as an error message lists it. */
export const LEVELS = [...PLAIN_LEVELS, 'deny_tools:[<upstream>/<name>,…]'] as const;

/** So many names fit into an entry of the stream, whatever they are. */
const MAX_TOOLS = 32;
const MAX_LEVEL_LENGTH = 512;
const TOOL_PATTERN = /^[a-z0-9-]{1,32}\/(?:[^\s,*[\]]+\*?|\*)$/;

/** What one call does. A call that is none (a login, a listing, a look at a token) does nothing that can be taken away. */
export interface Act {
  /** `<upstream>/<name>`; the path of an HTTP call takes the name's place. */
  readonly name: string;
  readonly effect: Effect;
}
export type Effect = 'read' | 'write';

/** `null` for what is none, or would not fit into an entry. */
export function parseLevel(text: string): Level | null {
  if (text.length > MAX_LEVEL_LENGTH) return null;
  switch (text) {
    case 'deny_all':
      return { takes: 'all' };
    case 'deny_writes':
      return { takes: 'writes' };
    case 'deny_spawn':
      return { takes: 'spawn' };
  }
  const listed = /^deny_tools:\[(.*)\]$/s.exec(text)?.[1];
  if (listed === undefined) return null;
  const tools = listed.split(',').map(unquoted);
  if (tools.length > MAX_TOOLS || !tools.every((tool) => TOOL_PATTERN.test(tool))) return null;
  return { takes: 'tools', tools };
}

/** As it travels and is stored: without spaces and quotes. */
export function levelText(level: Level): string {
  return level.takes === 'tools' ? `deny_tools:[${level.tools.join(',')}]` : `deny_${level.takes}`;
}

/** What a level says that came with an order, known or not. */
export function levelOf(text: string | null | undefined): Level {
  return (text === null || text === undefined ? null : parseLevel(text)) ?? { takes: 'all' };
}

/**
 * Does a suspension of that level refuse the act? Of `undefined`, which is no act, only `deny_all` takes the right:
 * whoever may not write must still be able to read.
 */
export function stops(level: Level, act: Act | undefined): boolean {
  switch (level.takes) {
    case 'all':
      return true;
    case 'spawn':
      return false; // only the control plane, which spawns, has something to refuse
    case 'writes':
      return act?.effect === 'write';
    case 'tools':
      return act !== undefined && level.tools.some((tool) => isMatch(tool, act.name));
  }
}

/** Does it take some calls and leave others? */
export function isNarrow({ takes }: Level): boolean {
  return takes === 'writes' || takes === 'tools';
}

function isMatch(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
}

function unquoted(item: string): string {
  return item.trim().replace(/^"(.*)"$/, '$1');
}
