import fc from 'fast-check';
import { comparePositions, formatPosition, parsePosition, type Position } from '../src/semantics';

const position: fc.Arbitrary<Position> = fc.record({
  epoch: fc.integer({ min: 0, max: 2 ** 21 }),
  seq: fc.oneof(fc.nat(5), fc.maxSafeNat()),
});

describe('positions in the stream', () => {
  it('a later epoch is later, whatever the sequence numbers', () => {
    expect(comparePositions({ epoch: 2, seq: 1 }, { epoch: 1, seq: 999 })).toBeGreaterThan(0);
    expect(comparePositions({ epoch: 1, seq: 1 }, { epoch: 1, seq: 2 })).toBeLessThan(0);
    expect(comparePositions({ epoch: 1, seq: 2 }, { epoch: 1, seq: 2 })).toBe(0);
  });

  it('are totally ordered', () => {
    fc.assert(
      fc.property(position, position, position, (a, b, c) => {
        expect(Math.sign(comparePositions(a, b))).toBe(-Math.sign(comparePositions(b, a)) || 0);
        if (comparePositions(a, b) <= 0 && comparePositions(b, c) <= 0)
          expect(comparePositions(a, c)).toBeLessThanOrEqual(0);
      }),
    );
  });

  it('survive being written down', () => {
    fc.assert(
      fc.property(position, (one) => {
        expect(parsePosition(formatPosition(one))).toEqual(one);
      }),
    );
  });

  it.each([
    '',
    '1',
    '1.',
    '.1',
    '1.2.3',
    '-1.2',
    '1.-2',
    '1e3.2',
    ' 1.2',
    '1.2\n',
    '1,2',
    '1.9007199254740993',
    '٣.٤',
  ])('are not read from %j', (text) => {
    expect(parsePosition(text)).toBeNull();
  });
});
