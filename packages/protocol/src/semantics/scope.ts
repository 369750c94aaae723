/**
 * A scope is one unit of authority: `tool:<upstream>/<name>` or `http:<METHOD>:<upstream>/<path>`.
 *
 * ASCII, case-sensitive, at most 256 characters. `*` stands only as the last character and means any suffix
 * (`tool:*`, `tool:github/*`); a bare `*` is not a scope. One scope covers another when they are equal, or when it
 * ends in `*` and the other starts with what precedes the star.
 */
export type Scope = string;

export const MAX_SCOPE_LENGTH = 256;
export const MAX_SCOPES = 100;

const UPSTREAM = '[a-z0-9-]{1,32}';
const VISIBLE = '[\\x21-\\x29\\x2b-\\x7e]'; // printable ASCII without space and star
const TOOL = new RegExp(`^tool:(\\*|${UPSTREAM}/(${VISIBLE}+\\*?|\\*)|[a-z0-9-]{1,32}\\*)$`);
const HTTP = new RegExp(
  `^http:(\\*|[A-Z]{1,16}:(\\*|${UPSTREAM}/(${VISIBLE}*\\*?)|[a-z0-9-]{1,32}\\*))$`,
);

export function isScope(text: string): boolean {
  return text.length <= MAX_SCOPE_LENGTH && (TOOL.test(text) || HTTP.test(text));
}

/** Does holding `held` give the authority `asked` (itself possibly a wildcard)? */
export function covers(held: Scope, asked: Scope): boolean {
  if (held === asked) return true;
  return held.endsWith('*') && asked.startsWith(held.slice(0, -1));
}

/** Is every scope asked for covered by one that is held? An empty list asks for nothing and is always covered. */
export function coversAll(held: readonly Scope[], asked: readonly Scope[]): boolean {
  return asked.every((one) => held.some((scope) => covers(scope, one)));
}

/** The first scope that nothing held covers, for an error message that names it. */
export function firstUncovered(held: readonly Scope[], asked: readonly Scope[]): Scope | undefined {
  return asked.find((one) => !held.some((scope) => covers(scope, one)));
}

/** The scope that calling a tool takes; `tool` is `<upstream>/<name>`. */
export function toolScope(tool: string): Scope {
  return `tool:${tool}`;
}
