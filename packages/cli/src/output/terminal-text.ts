/**
 * Characters that a terminal obeys or that change how text around them reads: C0, DEL, C1 (U+009B alone starts a
 * sequence), separators, directional and invisible marks, lone surrogates, tags, and letters that show nothing.
 */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0]/gu;

/** Names and reasons come from agents; what they write must be seen, never obeyed. */
export function terminalText(text: string): string {
  return text.replace(UNSAFE, (char) => {
    if (char === '\n') return '\\n';
    if (char === '\t') return '\\t';
    const code = char.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}

/** As {@link terminalText}, shortened to so many characters. */
export function shortText(text: string, most: number): string {
  const shown = terminalText(text);
  const characters = [...shown];
  return characters.length <= most ? shown : `${characters.slice(0, most - 1).join('')}…`;
}

/** JSON that is safe on a terminal: JSON itself leaves DEL, C1 and directional marks as they are. */
export function terminalJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, undefined, indent).replace(UNSAFE, (char) =>
    // Line breaks can only be the layout's own: inside strings they are escaped already.
    char === '\n' ? char : [...Array(char.length).keys()].map((at) => unit(char, at)).join(''),
  );
}

function unit(char: string, at: number): string {
  return `\\u${char.charCodeAt(at).toString(16).padStart(4, '0')}`;
}
