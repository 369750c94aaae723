import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import type { z } from 'zod';
import {
  Entry,
  Emergency,
  Halt,
  knownOp,
  LeaseGrant,
  LeaseReply,
  LeaseRequest,
  Leave,
  PublicJwk,
  Pulse,
  RangeReply,
  RangeRequest,
  Receipt,
  SnapshotChunk,
  SnapshotManifest,
  SnapshotRequest,
  Token,
  TokenClaims,
} from '../src';

type Fields = Record<string, unknown>;
const golden = (name: string): { payload: Fields } & { payload: Fields }[] =>
  JSON.parse(readFileSync(join(__dirname, '../golden', `${name}.json`), 'utf8')) as never;
const unsigned = golden('unsigned') as unknown as Record<string, Fields>;
const entry = golden('entries')[0]!.payload;

const CASES: [name: string, schema: z.ZodType, good: Fields][] = [
  ['entry', Entry, entry],
  ['pulse', Pulse, golden('pulse').payload],
  ['emergency', Emergency, golden('emergency').payload],
  ['halt', Halt, golden('halt').payload],
  ['snapshot request', SnapshotRequest, golden('snapshot-request').payload],
  ['snapshot manifest', SnapshotManifest, golden('snapshot').payload],
  ['lease', LeaseGrant, golden('lease').payload],
  ['lease refusal', LeaseReply, golden('lease-refused').payload],
  ['lease request', LeaseRequest, unsigned['lease-request']!],
  ['range request', RangeRequest, unsigned['range-request']!],
  ['range', RangeReply, unsigned['range']!],
  ['receipt', Receipt, golden('receipt').payload],
  ['leave', Leave, golden('leave').payload],
  ['token', TokenClaims, golden('token').payload],
];

/** What a hostile or broken sender may put in place of any field. */
const POISON: unknown[] = [
  undefined,
  null,
  -1,
  1.5,
  2 ** 53,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  [],
  {},
  { toString: 'x' },
  true,
  '\0',
  'x'.repeat(100_000),
];

/** Fields that a schema gives some freedom; every other field must refuse every poison. */
const TOLERANT: Record<string, readonly string[]> = {
  entry: ['audit', 'op'],
  'snapshot request': ['replaces'],
  token: ['act', 'use', 'scope', 'sub', 'iss', 'aud', 'tid', 'iat', 'exp'],
  receipt: ['in_flight', 'nacks', 'held_ms'],
  // Whatever somebody wanted to say.
  halt: ['reason'],
  range: ['entries', 'compacted'],
  'snapshot manifest': ['chunks'],
};

describe.each(CASES)('a hostile %s', (name, schema, good) => {
  it('is told from the good one, which is accepted', () => {
    expect(schema.safeParse(good).success).toBe(true);
  });

  it.each(Object.keys(good).filter((field) => !TOLERANT[name]?.includes(field)))(
    'is refused when %s is anything else',
    (field) => {
      for (const poison of POISON)
        expect({ poison, ok: schema.safeParse({ ...good, [field]: poison }).success }).toEqual({
          poison,
          ok: false,
        });
      const { [field]: _left, ...without } = good;
      expect(schema.safeParse(without).success).toBe(false);
    },
  );

  it('is refused when it says that it is of another type or version', () => {
    if (good['type'] === undefined) return expect(name).toBe('token');
    expect(schema.safeParse({ ...good, type: `${good['type'] as string}x` }).success).toBe(false);
    expect(schema.safeParse({ ...good, v: 2 }).success).toBe(false);
    expect(schema.safeParse({ ...good, v: '1' }).success).toBe(false);
  });

  it('never makes the reader throw', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(...Object.keys(good)), (value, field) => {
        expect(typeof schema.safeParse(value).success).toBe('boolean');
        expect(typeof schema.safeParse({ ...good, [field]: value }).success).toBe('boolean');
      }),
    );
  });

  it('does not reach the prototype of what is read', () => {
    const text = JSON.stringify(good).replace(/^\{/, '{"__proto__":{"polluted":true},');
    const read = schema.safeParse(JSON.parse(text));
    expect(({} as Fields)['polluted']).toBeUndefined();
    if (read.success) expect((read.data as Fields)['polluted']).toBeUndefined();
  });

  it('may carry a field that this version does not know, which is left out', () => {
    const read = schema.parse({ ...good, added_later: 1 }) as Fields;
    expect(read['added_later']).toBeUndefined();
    expect(read).toEqual(good);
  });
});

describe('an entry', () => {
  const withOp = (op: unknown) => Entry.safeParse({ ...entry, op });

  it('starts at sequence number 1', () => {
    expect(Entry.safeParse({ ...entry, seq: 0 }).success).toBe(false);
  });

  it('with an op of a later version is read, not known, and keeps its subject to deny', () => {
    const read = withOp({ op: 'quarantine', subject: 'agent:a', depth: 3 });
    expect(read.success).toBe(true);
    expect(knownOp(read.data!)).toBeNull();
    expect(read.data!.op).toEqual({ op: 'quarantine', subject: 'agent:a', depth: 3 });
  });

  it.each([
    ['a negative generation', { op: 'floor', subject: 'agent:a', generation: -1 }],
    ['a generation as text', { op: 'floor', subject: 'agent:a', generation: '2' }],
    ['no generation', { op: 'floor', subject: 'agent:a' }],
    [
      'a generation beyond what a double holds',
      { op: 'floor', subject: 'agent:a', generation: 2 ** 53 },
    ],
    ['a suspension without its id', { op: 'suspend', subject: 'agent:a' }],
    [
      'a key in a state that does not exist',
      { op: 'key', purpose: 'token', kid: 'k', state: 'new' },
    ],
  ])('with %s is never taken for a known op, so it denies and is a nack', (_what, op) => {
    const read = withOp(op);
    expect(read.success).toBe(true);
    expect(knownOp(read.data!)).toBeNull();
  });

  it.each([
    ['nothing', undefined],
    ['null', null],
    ['text', 'floor'],
    ['a list', []],
    ['no name', { subject: 'agent:a' }],
    ['a name that is no text', { op: 7 }],
    ['a name without end', { op: 'x'.repeat(65) }],
    ['a subject without end', { op: 'x', subject: 'a'.repeat(321) }],
  ])('with %s for an op is refused', (_what, op) => {
    expect(withOp(op).success).toBe(false);
  });

  it('with a poisoned prototype for an op names no subject', () => {
    const read = withOp(JSON.parse('{"op":"x","__proto__":{"subject":"agent:a"}}'));
    expect(read.data?.op).toEqual({ op: 'x' });
    expect((read.data!.op as Fields)['subject']).toBeUndefined();
  });
});

describe('a receipt', () => {
  const good = golden('receipt').payload;
  const counts = { aborted: 1, completed: 0, uncontrolled: 0 };
  const ok = (over: Fields) => Receipt.safeParse({ ...good, ...over }).success;

  it('is refused with times that no clock shows', () => {
    for (const held_ms of [-0.1, Number.NaN, Infinity, 3_600_001, '3'])
      expect(ok({ held_ms })).toBe(false);
  });

  it('counts work in flight by the kill that ended it, and nothing by anything else', () => {
    expect(ok({ in_flight: { kil_1: counts } })).toBe(true);
    expect(ok({ in_flight: { 'kil.*': counts } })).toBe(false);
    expect(ok({ in_flight: { kil_1: { ...counts, aborted: -1 } } })).toBe(false);
    expect(ok({ in_flight: { kil_1: { aborted: 1 } } })).toBe(false);
    expect(ok({ in_flight: [counts] })).toBe(false);
  });

  it('lists at most a thousand entries that it could not apply, each with a short reason', () => {
    const nack = { seq: 1, error: 'unknown op' };
    expect(ok({ nacks: Array.from({ length: 1_000 }, () => nack) })).toBe(true);
    expect(ok({ nacks: Array.from({ length: 1_001 }, () => nack) })).toBe(false);
    expect(ok({ nacks: [{ seq: 1, error: 'x'.repeat(513) }] })).toBe(false);
    expect(ok({ nacks: [{ seq: -1, error: 'x' }] })).toBe(false);
  });
});

describe('a snapshot', () => {
  const chunk = (item: unknown) => SnapshotChunk.safeParse({ i: 0, items: [item] }).success;

  it('holds the five kinds of item and no other', () => {
    expect(chunk(['f', 'agent:a', 2, 1_000, 'kil_1'])).toBe(true);
    expect(chunk(['s', 'kil_1', 'agent:a', null, 3])).toBe(true);
    expect(chunk(['k', 'stream', 'kid', 'dead', null])).toBe(true);
    expect(chunk(['e', 'kil_1', 'agent:a'])).toBe(true);
    expect(chunk(['l', 'kil_1'])).toBe(true);
    expect(chunk(['x', 'agent:a'])).toBe(false);
  });

  it.each([
    ['cut short', ['f', 'agent:a', 2]],
    ['too long', ['l', 'kil_1', 'kil_2']],
    ['in another order', ['f', 2, 'agent:a', 1_000, 'kil_1']],
    ['with a wildcard for an id', ['l', 'kil_*']],
    ['that is no list', { f: 'agent:a' }],
  ])('is refused with an item %s', (_what, item) => {
    expect(chunk(item)).toBe(false);
  });
});

describe('what names things on the wire', () => {
  it.each(['', '*', '>', 'a.b', 'a b', 'a\n', 'é', 'a'.repeat(65)])(
    'refuses the token %j',
    (text) => {
      expect(Token.safeParse(text).success).toBe(false);
    },
  );

  it('takes Ed25519 keys only, and never a private one', () => {
    const { d: _secret, ...jwk } = (golden('keys') as unknown as { stream: Fields }).stream;
    expect(PublicJwk.parse(jwk)).toEqual(jwk);
    for (const over of [
      { kty: 'EC' },
      { kty: 'oct' },
      { crv: 'X25519' },
      { x: 'short' },
      { alg: 'none' },
    ])
      expect(PublicJwk.safeParse({ ...jwk, ...over }).success).toBe(false);
    expect(PublicJwk.parse({ ...jwk, d: 'secret' })).not.toHaveProperty('d');
  });

  it('a lease is never so short that it cannot be renewed, nor longer than a policy may ask', () => {
    const good = golden('lease').payload;
    for (const valid_ms of [0, 99, 600_001])
      expect(LeaseGrant.safeParse({ ...good, valid_ms }).success).toBe(false);
  });

  it('a token without a lineage of tenant, initiator, agent and credential is refused for its length', () => {
    const good = golden('token').payload;
    expect(TokenClaims.safeParse({ ...good, lin: [] }).success).toBe(false);
    expect(TokenClaims.safeParse({ ...good, lin: [['agent:a', 1]] }).success).toBe(false);
    expect(TokenClaims.safeParse({ ...good, lin: Array(513).fill(['agent:a', 1]) }).success).toBe(
      false,
    );
    expect(TokenClaims.safeParse({ ...good, lin: Array(4).fill(['agent:a', -1]) }).success).toBe(
      false,
    );
    expect(TokenClaims.safeParse({ ...good, jti: 'crd_*' }).success).toBe(false);
  });
});
