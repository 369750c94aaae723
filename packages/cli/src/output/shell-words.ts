/** Whatever is not this is quoted. */
const PLAIN = /^[A-Za-z0-9_@%+=:,./-]+$/;
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0]/u;

/** A command line that a POSIX shell reads as exactly these words, safe to print on a terminal. */
export function shellWords(words: readonly string[]): string {
  return words.map(quoted).join(' ');
}

function quoted(word: string): string {
  if (PLAIN.test(word)) return word;
  if (!UNSAFE.test(word)) return `'${word.replaceAll("'", `'\\''`)}'`;
  // Only this form can name a character without holding it; bash, zsh and ksh read it.
  const escaped = [...word].map((char) => {
    if (char === '\\' || char === "'") return `\\${char}`;
    if (!UNSAFE.test(char)) return char;
    return `\\U${(char.codePointAt(0) ?? 0).toString(16).padStart(8, '0')}`;
  });
  return `$'${escaped.join('')}'`;
}
