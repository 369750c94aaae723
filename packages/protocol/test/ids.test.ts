import fc from 'fast-check';
import { ID_PREFIXES, idPattern, isId, newId, uuidOf, type IdKind } from '../src';

const KINDS = Object.keys(ID_PREFIXES) as IdKind[];
const kind = fc.constantFrom(...KINDS);
const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('ids', () => {
  it('are canonical, carry a UUIDv7 and differ', () => {
    fc.assert(
      fc.property(kind, (one) => {
        const id = newId(one);
        expect(isId(one, id)).toBe(true);
        expect(uuidOf(id)).toMatch(UUID_V7);
        expect(newId(one)).not.toBe(id);
      }),
    );
  });

  it('made later sort later', () => {
    const clock = jest.spyOn(Date, 'now');
    try {
      clock.mockReturnValue(1_700_000_000_000);
      const earlier = newId('kill');
      clock.mockReturnValue(1_700_000_000_001);
      expect(newId('kill') > earlier).toBe(true);
    } finally {
      clock.mockRestore();
    }
  });

  it('of one kind are not ids of another', () => {
    fc.assert(
      fc.property(kind, kind, (a, b) => {
        expect(isId(b, newId(a))).toBe(a === b);
      }),
    );
  });

  it('have prefixes that no two kinds share', () => {
    expect(new Set(Object.values(ID_PREFIXES)).size).toBe(KINDS.length);
  });

  const good = 'agt_01h455vb4pex5vsknk084sn02q';

  it.each([
    ['nothing', ''],
    ['the prefix alone', 'agt_'],
    ['upper case', good.toUpperCase()],
    ['an upper-case prefix', good.replace('agt', 'AGT')],
    ['one character short', good.slice(0, -1)],
    ['one character long', `${good}0`],
    ['a first character that overflows 128 bits', good.replace('_0', '_8')],
    ['letters that the alphabet leaves out', good.replace('h', 'l')],
    ['the letter u', good.replace('h', 'u')],
    ['a space in front', ` ${good}`],
    ['a space behind', `${good} `],
    ['a newline behind', `${good}\n`],
    ['a wildcard', good.replace('h', '*')],
    ['a tail wildcard', `${good.slice(0, -1)}>`],
    ['a dot', good.replace('h', '.')],
    ['a slash', good.replace('h', '/')],
    ['NUL', good.replace('h', '\0')],
    ['a look-alike of another script', good.replace('e', '\u0435')],
    ['a percent escape', good.replace('h4', '%4')],
    ['a UUID', '01234567-89ab-7def-8123-456789abcdef'],
    ['a path', '../agt_01h455vb4pex5vsknk084sn02q'],
    ['two ids', `${good}${good}`],
    ['a property of every object', '__proto__'],
  ])('are refused with %s', (_what, text) => {
    expect(isId('agent', good)).toBe(true);
    expect(isId('agent', text)).toBe(false);
  });

  it('have no second spelling: an id that differs in any character is another id or none', () => {
    fc.assert(
      fc.property(
        fc.nat(25),
        fc.string({ unit: 'binary', minLength: 1, maxLength: 1 }),
        (at, character) => {
          const place = 4 + at;
          const spelled = good.slice(0, place) + character + good.slice(place + 1);
          if (spelled !== good && isId('agent', spelled))
            expect(uuidOf(spelled)).not.toBe(uuidOf(good));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('any text that is an id can stand as a NATS token', () => {
    fc.assert(
      fc.property(kind, fc.string({ unit: 'binary', maxLength: 40 }), (one, text) => {
        const candidate = `${ID_PREFIXES[one]}_${text}`;
        if (isId(one, candidate)) expect(candidate).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
      }),
    );
    for (const one of KINDS) expect(newId(one)).toMatch(/^[A-Za-z0-9_-]{1,64}$/);
  });

  it('patterns carry no state from one test to the next', () => {
    for (let i = 0; i < 3; i++) expect(idPattern('agent').test(good)).toBe(true);
  });
});
