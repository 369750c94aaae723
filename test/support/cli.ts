import { processIo, run } from '@sever/cli';

export interface CliResult {
  code: number;
  out: string;
  err: string;
}

/** One command line of `sever` in this process, against a real control plane. */
export async function sever(
  { url, key }: { url: string; key: string },
  argv: readonly string[],
  input = '',
): Promise<CliResult> {
  const said = { out: '', err: '' };
  const code = await run(argv, {
    ...processIo(),
    env: { SEVER_URL: url, SEVER_KEY: key },
    stdout: { write: (text) => (said.out += text) },
    stderr: { write: (text) => (said.err += text) },
    readInput: () => Promise.resolve(input),
    onInterrupt: () => () => undefined,
  });
  return { code, ...said };
}

/** The words of a line that a command printed for a shell, as a shell reads them. */
export function wordsOf(line: string): string[] {
  return [...line.trim().matchAll(/(?:'[^']*'|\\.|[^\s'\\])+/g)].map(([word]) =>
    word.replaceAll(
      /'([^']*)'|\\(.)/g,
      (_, quoted?: string, escaped?: string) => quoted ?? escaped ?? '',
    ),
  );
}
