import {
  AgentQuery,
  CheckRequest,
  CreateApiKey,
  EnrolRequest,
  Id,
  KillAgentRequest,
  KillRequest,
  ListQuery,
  MintRequest,
  newId,
  SpawnRequest,
} from '../src';

const subject = { kind: 'agent', id: newId('agent') };

describe('requests', () => {
  it.each([
    ['a spawn', SpawnRequest, { name: 'a' }],
    ['a mint', MintRequest, {}],
    ['a kill', KillRequest, { subject, reason: 'r' }],
    ['a kill of an agent', KillAgentRequest, { reason: 'r' }],
    ['a check', CheckRequest, { token: 't' }],
    ['an API key', CreateApiKey, { role: 'responder', name: 'n' }],
    ['a list', ListQuery, {}],
    ['a list of agents', AgentQuery, {}],
  ] as const)(
    '%s with a field that nobody knows is refused, not ignored',
    (_what, schema, good) => {
      expect(schema.safeParse(good).success).toBe(true);
      for (const field of ['tenant_id', 'parent_id', 'revoked_at', 'constructor'])
        expect(schema.safeParse({ ...good, [field]: null }).success).toBe(false);
    },
  );

  it('name either one subject or several', () => {
    expect(KillRequest.safeParse({ reason: 'r' }).success).toBe(false);
    expect(KillRequest.safeParse({ reason: 'r', subject, subjects: [subject] }).success).toBe(
      false,
    );
    expect(KillRequest.safeParse({ reason: 'r', subjects: [] }).success).toBe(false);
    expect(KillRequest.safeParse({ reason: 'r', subjects: [subject] }).success).toBe(true);
  });

  it('carry labels and refs that are short, printable and name no property of JavaScript', () => {
    const ok = (labels: unknown) => SpawnRequest.safeParse({ name: 'a', labels }).success;
    expect(ok({ team: 'red' })).toBe(true);
    expect(ok({ 'te:am': 'red' })).toBe(false);
    expect(ok({ team: 'r d' })).toBe(false);
    expect(ok({ team: '' })).toBe(false);
    expect(ok({ team: 'x'.repeat(129) })).toBe(false);
    expect(ok({ team: '\u202ered' })).toBe(false);
    const read = SpawnRequest.safeParse(
      JSON.parse('{"name":"a","labels":{"__proto__":{"polluted":"yes"}}}'),
    );
    expect(Object.keys(read.data?.labels ?? {})).toEqual([]);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  it('take ids in their canonical form alone', () => {
    const id = newId('agent');
    expect(Id('agent').safeParse(id).success).toBe(true);
    for (const text of [id.toUpperCase(), ` ${id}`, `${id}\n`, id.slice(4), newId('kill'), null, 7])
      expect(Id('agent').safeParse(text).success).toBe(false);
  });

  it('page by at least one and at most five hundred', () => {
    expect(ListQuery.parse({})).toEqual({ limit: 100 });
    expect(ListQuery.parse({ limit: '500' })).toEqual({ limit: 500 });
    for (const limit of ['0', '-1', '501', '1e9', 'NaN', '1.5', 'x', ['1', '2']])
      expect(ListQuery.safeParse({ limit }).success).toBe(false);
    expect(ListQuery.safeParse({ cursor: ['a', 'b'] }).success).toBe(false);
  });

  it('to enrol bring keys of the right kind and a name that is safe in a path', () => {
    const good = {
      name: 'payments-1',
      mode: 'strict',
      abort: 'stream',
      public_key: { kty: 'OKP', crv: 'Ed25519', x: 'A'.repeat(43) },
      nats_public_key: `U${'A'.repeat(55)}`,
      proof: 'a.b.c',
    };
    expect(EnrolRequest.safeParse(good).success).toBe(true);
    for (const over of [
      { name: '../etc' },
      { name: '.hidden' },
      { name: 'a/b' },
      { name: '' },
      { mode: 'lenient' },
      { abort: true },
      { nats_public_key: `A${'A'.repeat(55)}` },
      { nats_public_key: `U${'A'.repeat(55)}\n` },
      { proof: 'x'.repeat(4_097) },
    ])
      expect(EnrolRequest.safeParse({ ...good, ...over }).success).toBe(false);
  });

  it('for a key name a role that a key can hold', () => {
    for (const role of ['agent', 'enforcement_point', 'root', ''])
      expect(CreateApiKey.safeParse({ role, name: 'n' }).success).toBe(false);
  });
});
