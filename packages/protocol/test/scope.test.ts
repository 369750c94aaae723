import fc from 'fast-check';
import {
  covers,
  coversAll,
  firstUncovered,
  isScope,
  MAX_SCOPE_LENGTH,
  toolScope,
} from '../src/semantics';

const RUNS = { numRuns: 500 };

/** Small alphabets on purpose: scopes that share a prefix are the ones where covering goes wrong. */
const word = fc.string({ unit: fc.constantFrom('a', 'b', '-', '/', ':', '.'), maxLength: 4 });
const upstream = fc.constantFrom('github', 'git', 'billing', 'a');
const concreteTool = fc
  .tuple(
    upstream,
    fc.string({ unit: fc.constantFrom('a', 'b', '/', '_'), minLength: 1, maxLength: 5 }),
  )
  .map(([name, tool]) => `tool:${name}/${tool}`);
const concreteHttp = fc
  .tuple(fc.constantFrom('GET', 'POST', 'G'), upstream, word)
  .map(([method, name, path]) => `http:${method}:${name}/${path}`);
const concrete = fc.oneof(concreteTool, concreteHttp);
const wildcard = fc
  .tuple(concrete, fc.nat(40))
  .map(([scope, length]) => `${scope.slice(0, length)}*`)
  .filter(isScope);
const scope = fc.oneof(concrete, wildcard);
/** Three scopes of which each is likely to cover the next. */
const chain = fc.tuple(scope, fc.nat(30), fc.nat(30)).map(([c, first, second]) => {
  const b = `${c.slice(0, Math.max(first, second))}*`;
  const a = `${c.slice(0, Math.min(first, second))}*`;
  return [isScope(a) ? a : c, isScope(b) ? b : c, c] as const;
});

describe('the grammar of scopes', () => {
  it.each([
    'tool:github/create_issue',
    'tool:github/*',
    'tool:github/create*',
    'tool:git*',
    'tool:*',
    'tool:everything/a:b?c=d',
    'http:GET:billing/*',
    'http:GET:billing/invoices/7',
    'http:GET:billing/',
    'http:POST:*',
    'http:*',
  ])('accepts %s', (text) => {
    expect(isScope(text)).toBe(true);
  });

  it.each([
    ['a bare star', '*'],
    ['nothing', ''],
    ['a kind alone', 'tool:'],
    ['a star that is not last', 'tool:git*/create'],
    ['two stars', 'tool:github/**'],
    ['a star as the upstream', 'tool:*/create_issue'],
    ['an upstream without a tool', 'tool:github'],
    ['an empty tool', 'tool:github/'],
    ['an unknown kind', 'admin:github/x'],
    ['another case of the kind', 'Tool:github/x'],
    ['another case of the upstream', 'tool:GitHub/x'],
    ['a lower-case method', 'http:get:billing/x'],
    ['part of a method', 'http:GE*'],
    ['an http scope without an upstream', 'http:GET:/x'],
    ['a space', 'tool:github/create issue'],
    ['a newline at the end', 'tool:github/create\n'],
    ['a tab', 'tool:github/a\tb'],
    ['NUL', 'tool:github/a\0'],
    ['a letter of another script that looks the same', 'tool:github/cre\u0430te'],
    ['a full-width star', 'tool:github/\uff0a'],
    ['a combining mark', 'tool:github/e\u0301'],
    ['a space in front', ' tool:github/x'],
  ])('refuses %s', (_what, text) => {
    expect(isScope(text)).toBe(false);
  });

  it('refuses what is longer than 256 characters and accepts what is exactly as long', () => {
    const prefix = 'tool:github/';
    const longest = prefix + 'a'.repeat(MAX_SCOPE_LENGTH - prefix.length);
    expect(isScope(longest)).toBe(true);
    expect(isScope(`${longest}a`)).toBe(false);
  });

  it('answers for any text, and never throws', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 400 }), (text) => {
        expect(typeof isScope(text)).toBe('boolean');
      }),
      RUNS,
    );
    expect(isScope(`tool:github/${'a'.repeat(1_000_000)}`)).toBe(false);
  });
});

describe('covering', () => {
  it('is reflexive', () => {
    fc.assert(
      fc.property(scope, (one) => {
        expect(covers(one, one)).toBe(true);
      }),
      RUNS,
    );
  });

  it('is transitive', () => {
    fc.assert(
      fc.property(fc.oneof(chain, fc.tuple(scope, scope, scope)), ([a, b, c]) => {
        if (covers(a, b) && covers(b, c)) expect(covers(a, c)).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it('never gives more than was held: whatever the asked scope permits, the held one permits', () => {
    fc.assert(
      fc.property(
        fc.oneof(chain, fc.tuple(scope, scope, scope)),
        fc.array(concrete, { minLength: 20, maxLength: 20 }),
        ([held, asked, permitted], calls) => {
          if (!covers(held, asked)) return;
          for (const call of [...calls, permitted])
            if (covers(asked, call)) expect(covers(held, call)).toBe(true);
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('of a wildcard by one scope means that the one is a wildcard itself', () => {
    fc.assert(
      fc.property(concrete, wildcard, (held, asked) => {
        expect(covers(held, asked)).toBe(false);
      }),
    );
  });

  it('is not widened by asking for a wildcard when one tool is held', () => {
    expect(covers('tool:github/create_issue', 'tool:github/*')).toBe(false);
    expect(covers('tool:github/create_issue', 'tool:github/create_issue*')).toBe(false);
    expect(covers('tool:github/*', 'tool:*')).toBe(false);
    expect(covers('http:GET:*', 'http:*')).toBe(false);
  });

  it('does not let one upstream stand for another that starts with its name', () => {
    expect(covers('tool:git/*', 'tool:github/create_issue')).toBe(false);
    expect(covers('tool:git*', 'tool:github/create_issue')).toBe(true);
  });

  it('minds case, kinds and look-alikes', () => {
    expect(covers('tool:github/create', 'tool:github/Create')).toBe(false);
    expect(covers('http:GET:billing/*', 'http:POST:billing/x')).toBe(false);
    expect(covers('tool:*', 'http:GET:billing/x')).toBe(false);
    expect(covers('tool:github/a', 'tool:github/\u0430')).toBe(false);
    expect(covers('tool:github/\u00e9', 'tool:github/e\u0301')).toBe(false);
  });

  it('of a list holds when every member is covered by some member', () => {
    const held = ['tool:github/*', 'http:GET:billing/*'];
    expect(coversAll(held, ['tool:github/a', 'http:GET:billing/x'])).toBe(true);
    expect(coversAll(held, ['tool:github/a', 'tool:slack/post'])).toBe(false);
    expect(firstUncovered(held, ['tool:github/a', 'tool:slack/post'])).toBe('tool:slack/post');
    expect(firstUncovered(held, ['tool:github/a'])).toBeUndefined();
  });

  it('of nothing always holds, and nothing covers only nothing', () => {
    expect(coversAll([], [])).toBe(true);
    fc.assert(
      fc.property(scope, (one) => {
        expect(coversAll([], [one])).toBe(false);
        expect(coversAll([one], [])).toBe(true);
      }),
    );
  });

  it('agrees with the first uncovered scope', () => {
    fc.assert(
      fc.property(
        fc.array(scope, { maxLength: 4 }),
        fc.array(scope, { maxLength: 4 }),
        (held, asked) => {
          expect(coversAll(held, asked)).toBe(firstUncovered(held, asked) === undefined);
        },
      ),
      RUNS,
    );
  });

  it('a tool call asks for exactly its own scope', () => {
    expect(toolScope('github/create_issue')).toBe('tool:github/create_issue');
  });
});
