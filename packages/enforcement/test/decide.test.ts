import { DenialView } from '@sever/protocol';
import { decide, type actOf } from '../src/decide';
import type { Standing } from '../src/machine-events';
import type { CallContext } from '../src/types';
import { unknownCaller } from '../src/unknown-caller';
import type { VerifiedToken } from '../src/verified-token';
import { verifiedToken } from './support/verified-token';

const STANDINGS: Standing[] = ['fresh', 'stale', 'no_lease', 'starting', 'dark'];
const dead = { generation: 2, killId: 'kil_1', keepUntil: Number.MAX_SAFE_INTEGER };

function viewThatKills(subject: string): DenialView {
  const view = new DenialView();
  view.raiseFloor(subject, dead);
  return view;
}

function viewThatSuspends(subject: string): DenialView {
  const view = new DenialView();
  view.suspend('kil_s', { subject, epoch: 1, seq: 1 });
  return view;
}

describe('the order of a decision', () => {
  it.each(STANDINGS)('a bad token is a bad token first, whatever stands (%s)', (standing) => {
    const view = viewThatKills('agent:one');
    expect(decide(null, { tool: 'git/push' }, view, standing)).toMatchObject({
      code: 'invalid_token',
    });
  });

  it.each(STANDINGS)('a killed agent is told so, with or without a lease (%s)', (standing) => {
    const verified = verifiedToken({ agent: 'one', scopes: [] });
    expect(decide(verified, { tool: 'git/push' }, viewThatKills('agent:one'), standing)).toEqual({
      decision: 'deny',
      code: 'agent_revoked',
      reason: expect.any(String),
      killId: 'kil_1',
      terminal: true,
      stale: standing !== 'fresh',
      caller: verified.caller,
    });
  });

  it('a suspended agent may come back: not terminal', () => {
    const view = viewThatSuspends('agent:one');
    expect(decide(verifiedToken({ agent: 'one' }), {}, view, 'fresh')).toMatchObject({
      code: 'agent_suspended',
      killId: 'kil_s',
      terminal: false,
    });
    expect(decide(verifiedToken({ agent: 'two' }), {}, view, 'fresh').decision).toBe('allow');
  });

  it('a call that is strict by itself needs a lease where others need none', () => {
    const verified = verifiedToken({ agent: 'one', scopes: ['tool:git/*'] });
    const decided = (context: CallContext, standing: Standing) =>
      decide(verified, { tool: 'git/push', ...context }, new DenialView(), standing).decision;
    expect(decided({ mode: 'strict' }, 'stale')).toBe('deny');
    expect(decided({}, 'stale')).toBe('allow');
    expect(decided({ mode: 'strict' }, 'fresh')).toBe('allow');
    const killed = decide(verified, { mode: 'strict' }, viewThatKills('agent:one'), 'stale');
    expect(killed).toMatchObject({ code: 'agent_revoked' });
  });

  it.each(['no_lease', 'starting', 'dark'] as const)(
    'without a lease, 503 comes before the scope (%s)',
    (standing) => {
      const verified = verifiedToken({ agent: 'one', scopes: [] });
      expect(decide(verified, { tool: 'git/push' }, new DenialView(), standing)).toMatchObject({
        code: 'enforcement_stale',
        stale: true,
      });
    },
  );

  it('best_effort without a lease decides on what it knows, and flags it', () => {
    const verified = verifiedToken({ agent: 'one', scopes: ['tool:git/*'] });
    const view = new DenialView();
    expect(decide(verified, { tool: 'git/push' }, view, 'stale')).toMatchObject({
      decision: 'allow',
      stale: true,
    });
    expect(decide(verified, { tool: 'mail/send' }, view, 'stale')).toMatchObject({
      code: 'insufficient_scope',
      stale: true,
    });
  });
});

describe('tools, upstreams and scopes', () => {
  const verified = verifiedToken({ agent: 'one', scopes: ['tool:git/*', 'http:GET:billing/*'] });

  it.each<[string, object, string]>([
    ['a tool', { tool: 'git/push' }, 'tool:git/push'],
    ['the upstream that a tool names', { tool: 'git/push' }, 'upstream:git'],
    [
      'an upstream named beside',
      { upstream: 'billing', scope: 'http:GET:billing/x' },
      'upstream:billing',
    ],
    ['the upstream of a call without tool or scope', { upstream: 'git' }, 'upstream:git'],
  ])('a suspension of %s stops the call', (_, context, subject) => {
    expect(decide(verified, context, viewThatSuspends(subject), 'fresh')).toMatchObject({
      code: 'tool_suspended',
      killId: 'kil_s',
    });
  });

  it('a suspension of a tool leaves its neighbours alone', () => {
    const view = viewThatSuspends('tool:git/push');
    expect(decide(verified, { tool: 'git/pull' }, view, 'fresh').decision).toBe('allow');
    expect(decide(verified, {}, view, 'fresh').decision).toBe('allow');
  });

  it('is checked on each call, although the lineage is remembered', () => {
    const view = new DenialView();
    expect(decide(verified, { tool: 'git/push' }, view, 'fresh').decision).toBe('allow');
    expect(decide(verified, { tool: 'mail/send' }, view, 'fresh')).toMatchObject({
      code: 'insufficient_scope',
    });
    view.suspend('kil_s', { subject: 'tool:git/push', epoch: 1, seq: 1 });
    expect(decide(verified, { tool: 'git/push' }, view, 'fresh')).toMatchObject({
      code: 'tool_suspended',
    });
    view.raiseFloor('agent:one', dead);
    expect(decide(verified, { tool: 'git/push' }, view, 'fresh')).toMatchObject({
      code: 'agent_revoked',
    });
  });

  it('a scope given beside a tool counts in its place', () => {
    const call = { tool: 'git/push', scope: 'http:GET:billing/invoices' };
    expect(decide(verified, call, new DenialView(), 'fresh').decision).toBe('allow');
    expect(
      decide(verified, { ...call, scope: 'http:POST:billing/x' }, new DenialView(), 'fresh'),
    ).toMatchObject({ code: 'insufficient_scope' });
  });

  it('a suspended signing key stops what it signed', () => {
    const view = viewThatSuspends('signing_key:key-1');
    expect(decide(verified, {}, view, 'fresh')).toMatchObject({ code: 'agent_suspended' });
    const other = verifiedToken({ agent: 'one', kid: 'key-2' });
    expect(decide(other, {}, view, 'fresh').decision).toBe('allow');
  });
});

describe('a suspension that takes some calls', () => {
  const verified = verifiedToken({ agent: 'one', scopes: ['tool:*', 'http:*'] });
  const view = new DenialView();
  view.suspend('kil_w', { subject: 'agent:one', level: 'deny_writes', epoch: 1, seq: 1 });

  it.each([
    [{ tool: 'git/push' }, 'agent_suspended'],
    [{ tool: 'git/push', effect: 'write' }, 'agent_suspended'],
    [{ tool: 'git/get_file', effect: 'read' }, undefined],
    [{ scope: 'http:POST:billing/x' }, 'agent_suspended'],
    [{ scope: 'http:GET:billing/x' }, undefined],
    [{ scope: 'http:GET:billing/x', effect: 'write' }, 'agent_suspended'],
    [{ upstream: 'git' }, undefined],
    [{}, undefined],
  ] as const)('decides by what the call does: %j', (context, code) => {
    const decision = decide(verified, context, view, 'fresh');
    expect(decision.decision === 'deny' ? decision.code : undefined).toBe(code);
  });

  it('is asked anew for each call of one token, in whatever order they come', () => {
    const read = { tool: 'git/get_file', effect: 'read' } as const;
    for (const context of [read, { tool: 'git/push' }, read, { tool: 'git/push' }])
      expect(decide(verified, context, view, 'fresh').decision).toBe(
        'effect' in context ? 'allow' : 'deny',
      );
    const neighbour = verifiedToken({ agent: 'two' });
    expect(decide(neighbour, { tool: 'git/push' }, view, 'fresh').decision).toBe('allow');
  });

  it('of an upstream leaves what reads there, and every other upstream', () => {
    const narrowed = new DenialView();
    narrowed.suspend('kil_u', { subject: 'upstream:git', level: 'deny_writes', epoch: 1, seq: 1 });
    const decided = (context: Parameters<typeof actOf>[0]) =>
      decide(verifiedToken({ agent: 'two' }), context, narrowed, 'fresh');
    expect(decided({ tool: 'git/push' })).toMatchObject({ code: 'tool_suspended' });
    expect(decided({ tool: 'git/log', effect: 'read' }).decision).toBe('allow');
    expect(decided({ tool: 'mail/send' }).decision).toBe('allow');
  });
});

describe('a policy that only observes', () => {
  const seen: CallContext = { tool: 'git/push', policy: 'observe' };
  const known = verifiedToken({ agent: 'one', scopes: [] });
  const unknown = unknownCaller('ten_1');

  it('lets a missing scope through, says so, and says nothing where the scope is held', () => {
    const allowed = decide(known, seen, new DenialView(), 'fresh');
    expect(allowed).toEqual({
      ...{ decision: 'allow', stale: false, caller: known.caller },
      wouldDeny: 'insufficient_scope',
    });
    const holder = verifiedToken({ agent: 'one', scopes: ['tool:git/*'] });
    expect(decide(holder, seen, new DenialView(), 'fresh')).not.toHaveProperty('wouldDeny');
    expect(decide(known, { ...seen, policy: undefined }, new DenialView(), 'fresh')).toMatchObject({
      code: 'insufficient_scope',
    });
  });

  it('lets whoever is unknown through as nobody', () => {
    const { caller } = unknown;
    for (const [standing, stale] of [
      ['fresh', false],
      ['stale', true],
    ] as const)
      expect(decide(unknown, seen, new DenialView(), standing)).toEqual({
        ...{ decision: 'allow', stale, caller, wouldDeny: 'invalid_token' },
      });
    expect(caller).toMatchObject({ agentId: '', credentialId: '', initiatorId: '', chain: [] });
  });

  it.each(STANDINGS)('refuses the killed and the suspended, with or without a lease (%s)', (at) => {
    const agent = () => verifiedToken({ agent: 'one', scopes: [] });
    const code = (caller: VerifiedToken, view: DenialView) => {
      const decision = decide(caller, seen, view, at);
      return decision.decision === 'deny' ? decision.code : decision.wouldDeny;
    };
    expect(code(agent(), viewThatKills('agent:one'))).toBe('agent_revoked');
    expect(code(agent(), viewThatSuspends('agent:one'))).toBe('agent_suspended');
    for (const boundary of ['tool:git/push', 'upstream:git'])
      for (const caller of [agent(), unknownCaller('ten_1')])
        expect(code(caller, viewThatSuspends(boundary))).toBe('tool_suspended');
    expect(code(unknownCaller('ten_1'), viewThatKills('tenant:ten_1'))).toBe('agent_revoked');
    expect(code(unknownCaller('ten_2'), viewThatKills('tenant:ten_1'))).not.toBe('agent_revoked');
  });

  it('needs the lease as any other', () => {
    for (const caller of [known, unknown]) {
      for (const standing of ['no_lease', 'starting', 'dark'] as const)
        expect(decide(caller, seen, new DenialView(), standing)).toMatchObject({
          code: 'enforcement_stale',
        });
      expect(decide(caller, { ...seen, mode: 'strict' }, new DenialView(), 'stale')).toMatchObject({
        code: 'enforcement_stale',
      });
    }
  });
});
