import { dirname } from 'node:path';
import { badlyNamed, badlyNamedPath } from './declared-names';
import { projectFiles, read, ROOT } from './project-files';

const CODE = /(?<!\.d)\.(ts|mjs|cjs|js)$/;
const TEXT = /\.(ts|mjs|cjs|js|json|md|ya?ml|html|css|sh|conf|txt)$|Dockerfile$|^\.[^/]*$|^\.ci\//;

/** Put together here so that this file does not say them itself. */
const UNSAID: [what: string, pattern: RegExp][] = [
  ['a temporary path of some machine', new RegExp(['/t', 'mp/\\w'].join(''))],
  ['a folder beside the project', new RegExp(['\\.li', 'brary/'].join(''))],
  ['a package registry', new RegExp(['regis', 'try\\.[a-z-]+\\.'].join(''))],
  [
    'who wrote it',
    new RegExp(
      ['co-auth', 'ored-by|genera', 'ted (by|with) (an? )?(ai|llm|claude|gpt)'].join(''),
      'i',
    ),
  ],
];

/** Folders that every machine has, and that the project may speak of. */
const COMMON_FOLDERS = ['/', '/root', '/home', '/app', '/opt', '/srv', '/var', '/usr/src'];

describe('the project’s text', () => {
  const code = projectFiles('src', 'packages', 'test', 'scripts', 'bench').filter((file) =>
    CODE.test(file),
  );

  it('keeps every file short enough to be one thing', () => {
    const long = code
      .filter((file) => !/\/migrations\//.test(file))
      .map((file) => ({ file, lines: linesOf(file) }));
    expect(long.filter(({ lines }) => lines > 400)).toEqual([]);
    const sorted = long.map(({ lines }) => lines).sort((a, b) => a - b);
    expect(sorted[Math.floor(sorted.length / 2)]).toBeLessThan(120);
  });

  it('uses the words of the glossary for what it declares', () => {
    const named = code.filter((file) => !file.startsWith('test/architecture/'));
    expect(named.flatMap((file) => badlyNamed(file, read(file)))).toEqual([]);
    expect(named.flatMap(badlyNamedPath)).toEqual([]);
  });

  it('names no path of a machine, no registry and nobody', () => {
    const parent = dirname(ROOT);
    const patterns: typeof UNSAID = !COMMON_FOLDERS.includes(parent)
      ? [['the folder of this checkout', literally(`${parent}/`)], ...UNSAID]
      : UNSAID;
    const texts = projectFiles('.').filter(
      (file) => TEXT.test(file) && file !== 'package-lock.json',
    );
    expect(texts.length).toBeGreaterThan(80);
    const said = texts.flatMap((file) =>
      patterns
        .filter(([, pattern]) => pattern.test(read(file)))
        .map(([what]) => `${file}: ${what}`),
    );
    expect(said).toEqual([]);
  });

  it('is found out when it breaks these rules', () => {
    expect(badlyNamed('src/a.ts', 'class KeyManager { blockAgent(helper: number) {} }')).toEqual([
      expect.stringContaining('KeyManager'),
      expect.stringContaining('blockAgent'),
      expect.stringContaining('helper'),
    ]);
    expect(
      badlyNamed('src/a.ts', "import { EntityManager } from 'typeorm'; manager.utils();"),
    ).toEqual([]);
    expect(badlyNamedPath('src/agents/agent-utils.ts')).toHaveLength(1);
    expect(badlyNamedPath('src/agents/agents.store.ts')).toEqual([]);
  });
});

function linesOf(file: string): number {
  return read(file).replace(/\n$/, '').split('\n').length;
}

function literally(text: string): RegExp {
  return new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
}
