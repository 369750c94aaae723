import type { KnownOp, SnapshotItem } from '@sever/protocol';
import { InFlight } from '../src/in-flight';
import { MachineUnderTest, StreamByHand, WALL } from './support/machine-under-test';
import { verifiedToken } from './support/verified-token';

/** A machine with calls in flight, driven as the driver does it. */
function running(stream = new StreamByHand()) {
  const ep = new MachineUnderTest('best_effort', stream).boot();
  let drained = 0;
  const calls = new InFlight({
    clock: { monotonic: () => ep.mono, wall: () => ep.wall },
    timers: { after: () => () => undefined },
    abort: 'stream',
    mayRelay: () => true,
    onDrained: () => {
      drained += 1;
      perform(ep.feed({ type: 'drained' }));
    },
  });
  const perform = (effects: typeof ep.all): void => {
    for (const effect of effects) {
      if (effect.type === 'abort') calls.abortDenied(ep.machine.view, effect.subjects);
      if (effect.type === 'cut') calls.cut(effect.killId);
    }
  };
  return {
    ...{ ep, calls },
    drained: () => drained,
    admit: (agent: string, ancestors: string[] = [], tool = 'git/push') =>
      calls.admit(verifiedToken({ agent, ancestors }), { tool }, 'relayed'),
    order: (op: KnownOp, killId?: string) => perform(ep.entry(ep.stream.append(op, killId))),
    resynchronise: (items: SnapshotItem[]) => {
      perform(ep.feed({ type: 'connected' }));
      perform(ep.snapshot({}, items));
    },
  };
}

const drain = (agent: string): KnownOp => ({
  ...{ op: 'floor', subject: `agent:${agent}`, generation: 2, in_flight: 'drain' },
});
const none = { aborted: 0, completed: 0, uncontrolled: 0 };

describe('an order that lets running work drain', () => {
  it('refuses what is new at once, cuts nothing, and counts what still runs under its id', () => {
    const { ep, calls, admit, order } = running();
    const [own, below, other] = [admit('one'), admit('two', ['one']), admit('three')];
    order(drain('one'), 'kil_d');
    expect([ep.denies('one'), ep.denies('three')]).toEqual([true, false]);
    expect([own, below, other].map((call) => call.signal.aborted)).toEqual([false, false, false]);
    expect(calls.counts()).toEqual({ kil_d: { ...none, uncontrolled: 2 } });
    own.finish();
    below.end('completed');
    other.finish();
    expect(calls.counts()).toEqual({ kil_d: { ...none, completed: 2 } });
  });

  it('brings out another receipt when such a call has ended, and none when another call ends', () => {
    const { ep, admit, order, drained } = running();
    ep.pulse({ n: 1, head: 0 });
    const [own, other] = [admit('one'), admit('three')];
    order(drain('one'));
    ep.pass(10);
    const before = ep.receipted.length;
    other.finish();
    ep.pass(10);
    expect(ep.receipted).toHaveLength(before);
    own.finish();
    ep.pass(10);
    expect(drained()).toBe(1);
    expect(ep.receipted).toHaveLength(before + 1);
  });

  it('does not make a receipt wait for it', async () => {
    const { calls, admit, order } = running();
    admit('one');
    order(drain('one'));
    await expect(calls.settled()).resolves.toBeUndefined();
  });

  it.each([
    ['a kill of the same agent', { op: 'floor', subject: 'agent:one', generation: 2 }],
    ['a kill of an ancestor', { op: 'floor', subject: 'agent:root', generation: 2 }],
    ['a suspension', { op: 'suspend', id: 'kil_c', subject: 'agent:one' }],
    ['a suspended tool', { op: 'suspend', id: 'kil_c', subject: 'tool:git/push' }],
  ] as [string, KnownOp][])('is overtaken by %s that does not drain', (_, op) => {
    const { calls, admit, order } = running();
    const [own, other] = [admit('one', ['root']), admit('three', [], 'git/pull')];
    order(drain('one'), 'kil_d');
    order(op, 'kil_c');
    expect([own.signal.aborted, other.signal.aborted]).toEqual([true, false]);
    own.finish();
    const { kil_d: drained, ...later } = calls.counts();
    expect(drained).toMatchObject({ uncontrolled: 0, completed: 0 });
    // The floor still names the order that raised it first.
    const counted = Object.values({ drained, ...later }).reduce(
      (sum, c) => sum + (c?.aborted ?? 0),
      0,
    );
    expect(counted).toBe(1);
  });

  it('of a tool lets calls to it drain, and no new one is let in', () => {
    const { ep, calls, admit, order } = running();
    const [push, pull] = [admit('one'), admit('one', [], 'git/pull')];
    order({ op: 'suspend', id: 'kil_t', subject: 'tool:git/push', in_flight: 'drain' }, 'kil_t');
    expect(ep.machine.view.suspensionOf('tool:git/push')).not.toBeNull();
    expect([push.signal.aborted, pull.signal.aborted]).toEqual([false, false]);
    expect(calls.counts()).toEqual({ kil_t: { ...none, uncontrolled: 1 } });
  });

  it('is known in a later snapshot of this boot, which says nothing of it', () => {
    const { admit, order, resynchronise } = running();
    const call = admit('one');
    order(drain('one'), 'kil_d');
    resynchronise([['f', 'agent:one', 2, WALL + 1_000_000, 'kil_d']]);
    expect(call.signal.aborted).toBe(false);
  });

  it('that a snapshot alone tells of cuts, because it does not say how it was meant', () => {
    const { ep, admit, resynchronise } = running();
    const [call, other] = [admit('one'), admit('three')];
    ep.stream.append(drain('one'), 'kil_d');
    resynchronise([['f', 'agent:one', 2, WALL + 1_000_000, 'kil_d']]);
    expect([call.signal.aborted, other.signal.aborted]).toEqual([true, false]);
  });

  it('is over with a snapshot that shows a higher floor', () => {
    const { admit, order, resynchronise } = running();
    const call = admit('one');
    order(drain('one'), 'kil_d');
    resynchronise([['f', 'agent:one', 3, WALL + 1_000_000, 'kil_e']]);
    expect(call.signal.aborted).toBe(true);
  });

  it('spares no call that an enforcement point cuts for its own reasons, and that is not "completed"', () => {
    const { calls, admit, order } = running();
    const call = admit('one');
    order(drain('one'), 'kil_d');
    calls.cut();
    expect(call.signal.aborted).toBe(true);
    call.finish();
    expect(calls.counts()).toEqual({ kil_d: { ...none, aborted: 1 } });
  });
});

describe('a suspension by level', () => {
  it('deny_spawn leaves calls alone, running and new; deny_all on a neighbour cuts', () => {
    const { ep, calls, admit, order } = running();
    const [spawner, stopped] = [admit('one'), admit('two')];
    order({ op: 'suspend', id: 'kil_s', subject: 'agent:one', level: 'deny_spawn' }, 'kil_s');
    order({ op: 'suspend', id: 'kil_t', subject: 'agent:two', level: 'deny_all' }, 'kil_t');
    expect([spawner.signal.aborted, stopped.signal.aborted]).toEqual([false, true]);
    expect([ep.denies('one'), ep.denies('two')]).toEqual([false, true]);
    expect(Object.keys(calls.counts())).toEqual(['kil_t']);
  });

  it('deny_tools cuts the calls of those tools and leaves the agent its others', () => {
    const { calls, admit, order } = running();
    const [push, log, neighbour] = [
      admit('one', [], 'git/push'),
      admit('one', [], 'git/log'),
      admit('two', [], 'git/push'),
    ];
    const level = 'deny_tools:[git/pu*]';
    order({ op: 'suspend', id: 'kil_s', subject: 'agent:one', level }, 'kil_s');
    expect([push, log, neighbour].map((call) => call.signal.aborted)).toEqual([true, false, false]);
    push.finish();
    expect(calls.counts()).toEqual({ kil_s: { ...none, aborted: 1 } });
  });

  it('of a name that this version does not know denies everything and cuts', () => {
    const { ep, admit, order } = running();
    const [call, other] = [admit('one'), admit('two')];
    order({ op: 'suspend', id: 'kil_s', subject: 'agent:one', level: 'deny_on_mondays' });
    expect([call.signal.aborted, other.signal.aborted]).toEqual([true, false]);
    expect([ep.denies('one'), ep.denies('two')]).toEqual([true, false]);
  });
});
