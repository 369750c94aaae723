import { createAccount, createOperator, createUser, fromPublic, fromSeed } from '@nats-io/nkeys';
import { nativeKeyPair } from '../../../src/broker/native-key-pair';

describe('a key pair that signs natively', () => {
  const message = new TextEncoder().encode('what is signed');

  it.each([
    ['an operator', createOperator],
    ['an account', createAccount],
    ['a user', createUser],
  ])('is the one that the library makes of the seed of %s', (_, create) => {
    for (let i = 0; i < 5; i++) {
      const library = create();
      const native = nativeKeyPair(library.getSeed());
      expect(native.getPublicKey()).toBe(library.getPublicKey());
      expect(native.getSeed()).toEqual(library.getSeed());
      // Ed25519 is deterministic: the same key gives the same signature.
      expect(Buffer.from(native.sign(message))).toEqual(Buffer.from(library.sign(message)));
      expect(fromPublic(library.getPublicKey()).verify(message, native.sign(message))).toBe(true);
    }
  });

  it('takes a seed as it stands in a file, and none that is damaged', () => {
    const seed = new TextDecoder().decode(createAccount().getSeed());
    const expected = fromSeed(new TextEncoder().encode(seed)).getPublicKey();
    expect(nativeKeyPair(`${seed}\n`).getPublicKey()).toBe(expected);
    const damaged = seed.slice(0, 10) + (seed[10] === 'A' ? 'B' : 'A') + seed.slice(11);
    expect(() => nativeKeyPair(damaged)).toThrow(/checksum/i);
  });
});
