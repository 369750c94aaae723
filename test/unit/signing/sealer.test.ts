import { randomBytes } from 'node:crypto';
import { CannotOpenError, Sealer } from '../../../src/signing/sealer';

const place = { tenant: 'ten_1', table: 'signing_key', id: 'kid_1' };

describe('a sealed secret', () => {
  const sealer = new Sealer(randomBytes(32));
  const sealed = sealer.seal(Buffer.from('secret'), place);

  it('opens at its place, and shows nothing of itself', () => {
    expect(sealer.open(sealed, place).toString()).toBe('secret');
    expect(sealed.includes('secret')).toBe(false);
    expect(sealer.seal(Buffer.from('secret'), place).equals(sealed)).toBe(false);
  });

  it.each(['tenant', 'table', 'id'] as const)('does not open at another %s', (part) => {
    expect(() => sealer.open(sealed, { ...place, [part]: 'other' })).toThrow(CannotOpenError);
  });

  it('does not open under another key, nor with any byte changed', () => {
    expect(() => new Sealer(randomBytes(32)).open(sealed, place)).toThrow(CannotOpenError);
    for (let at = 1; at < sealed.length; at++) {
      const changed = Buffer.from(sealed);
      changed[at] = (changed[at] as number) ^ 1;
      expect(() => sealer.open(changed, place)).toThrow(CannotOpenError);
    }
  });

  it('has keys for other purposes that differ, and are the same for every replica', () => {
    const key = randomBytes(32);
    const [one, two] = [new Sealer(key), new Sealer(key)];
    expect(one.derivedKey('cursors')).toEqual(two.derivedKey('cursors'));
    expect(one.derivedKey('cursors')).not.toEqual(one.derivedKey('something else'));
  });
});
