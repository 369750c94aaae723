import { canonicalJson } from '../../src/calls/canonical-json';
import { recordedArguments } from '../../src/calls/recorded-arguments';

describe('canonical JSON', () => {
  it('is the one of RFC 8785, section 3.2.2', () => {
    const value: unknown = JSON.parse(
      String.raw`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`,
    );
    expect(canonicalJson(value)).toBe(
      String.raw`{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
    );
  });

  it('orders keys by UTF-16 units', () => {
    expect(canonicalJson({ '\u20ac': 1, '\r': 2, '\ufb33': 3, '1': 4, '\ud83d\ude00': 5 })).toBe(
      '{"\\r":2,"1":4,"€":1,"😀":5,"\ufb33":3}',
    );
  });
});

describe('arguments in a record', () => {
  const value = { to: 'bob', body: { Password: 'x', list: [{ token: 'y', n: 1 }] } };

  it('are a digest alone, unless the config asks for more', () => {
    const kept = recordedArguments(value, { arguments: 'hash', redact: [] });
    expect(Object.keys(kept)).toEqual(['argumentsHash']);
  });

  it('are kept without what stands under a redacted key, at any depth and in any spelling', () => {
    const redact = ['password', 'TOKEN'];
    const kept = recordedArguments(value, { arguments: 'redacted', redact });
    expect(kept.arguments).toBe(
      '{"body":{"Password":"[redacted]","list":[{"n":1,"token":"[redacted]"}]},"to":"bob"}',
    );
    expect(kept.argumentsHash).toBe(
      recordedArguments(value, { arguments: 'hash', redact: [] }).argumentsHash,
    );
  });
});
