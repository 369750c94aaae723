/**
 * Does any object in this text name a key twice? Parsers disagree on which of the two counts, so such a message could
 * be one thing to the sidecar and another to the tool server.
 *
 * @param json text that `JSON.parse` has accepted; nothing else is checked here.
 */
export function hasDuplicateKey(json: string): boolean {
  /** Keys of the objects that are open; `null` for an array. */
  const open: (Set<string> | null)[] = [];
  for (let at = 0; at < json.length; at += 1) {
    const char = json[at];
    if (char === '{') open.push(new Set());
    else if (char === '[') open.push(null);
    else if (char === '}' || char === ']') open.pop();
    else if (char === '"') {
      const start = at;
      at = endOfString(json, at);
      const keys = open.at(-1);
      if (keys !== null && keys !== undefined && isKey(json, at + 1)) {
        const key = JSON.parse(json.slice(start, at + 1)) as string;
        if (keys.has(key)) return true;
        keys.add(key);
      }
    }
  }
  return false;
}

/** Index of the quote that ends the string which starts at `quote`. */
function endOfString(json: string, quote: number): number {
  let at = quote + 1;
  while (json[at] !== '"') at += json[at] === '\\' ? 2 : 1;
  return at;
}

/** In valid JSON a string is a key exactly when a colon follows it. */
function isKey(json: string, after: number): boolean {
  let at = after;
  while (json[at] === ' ' || json[at] === '\t' || json[at] === '\n' || json[at] === '\r') at += 1;
  return json[at] === ':';
}
