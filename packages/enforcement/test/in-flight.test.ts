import { DenialView } from '@sever/protocol';
import { InFlight, SETTLE_MS } from '../src/in-flight';
import { RefusedError } from '../src/types';
import { verifiedToken } from './support/verified-token';

/** Timers and a monotonic clock that a test turns by hand. */
class TurnedTime {
  now = 0;
  private waiting: { at: number; run: () => void }[] = [];
  readonly clock = { monotonic: () => this.now, wall: () => 0 };
  readonly timers = {
    after: (milliseconds: number, run: () => void) => {
      const timer = { at: this.now + milliseconds, run };
      this.waiting.push(timer);
      return () => void (this.waiting = this.waiting.filter((other) => other !== timer));
    },
  };

  async pass(milliseconds: number): Promise<void> {
    this.now += milliseconds;
    const due = this.waiting.filter(({ at }) => at <= this.now);
    this.waiting = this.waiting.filter(({ at }) => at > this.now);
    for (const { run } of due) run();
    await Promise.resolve();
  }
}

function monitor(abort: 'stream' | 'signal' | 'none' = 'stream') {
  const time = new TurnedTime();
  const lease = { valid: true };
  const calls = new InFlight({ ...time, abort, mayRelay: () => lease.valid });
  const view = new DenialView();
  const admit = (agent: string, ancestors: string[] = [], tool = 'git/push') =>
    calls.admit(verifiedToken({ agent, ancestors }), { tool }, 'relayed');
  const kill = (subject: string, killId = 'kil_1') => {
    view.raiseFloor(subject, { generation: 2, killId, keepUntil: Infinity });
    calls.abortDenied(view, [subject]);
  };
  return { time, lease, calls, view, admit, kill };
}

describe('a kill', () => {
  it('aborts the calls of the whole subtree with the reason, and no other', () => {
    const { calls, admit, kill } = monitor();
    const [own, child, neighbour] = [admit('one'), admit('two', ['one']), admit('three')];
    kill('agent:one');
    for (const call of [own, child]) {
      expect(call.signal.reason).toBeInstanceOf(RefusedError);
      expect((call.signal.reason as RefusedError).denied).toMatchObject({
        code: 'agent_revoked',
        killId: 'kil_1',
        terminal: true,
      });
    }
    expect(neighbour.signal.aborted).toBe(false);
    expect(calls.size).toBe(3);
  });

  it('counts a call as aborted once it is finished, as uncontrolled until then', () => {
    const { calls, admit, kill } = monitor();
    const [first, second] = [admit('one'), admit('one')];
    kill('agent:one');
    first.finish();
    expect(calls.counts()).toEqual({ kil_1: { aborted: 1, completed: 0, uncontrolled: 1 } });
    second.end('completed');
    expect(calls.counts()).toEqual({ kil_1: { aborted: 1, completed: 1, uncontrolled: 0 } });
    expect(calls.size).toBe(0);
  });

  it('counts nothing for calls that had ended before, or that end twice', () => {
    const { calls, admit, kill } = monitor();
    const [before, twice] = [admit('one'), admit('one')];
    before.finish();
    kill('agent:one');
    twice.finish();
    twice.finish();
    before.finish();
    expect(calls.counts()).toEqual({ kil_1: { aborted: 1, completed: 0, uncontrolled: 0 } });
  });

  it('keeps the counts of two kills apart', () => {
    const { calls, admit, kill } = monitor();
    admit('one').onHold(() => {});
    const two = admit('two');
    kill('agent:one', 'kil_1');
    kill('agent:two', 'kil_2');
    two.finish();
    expect(calls.counts()).toEqual({
      kil_1: { aborted: 0, completed: 0, uncontrolled: 1 },
      kil_2: { aborted: 1, completed: 0, uncontrolled: 0 },
    });
  });

  it('a suspended tool aborts the calls to it, and only those', () => {
    const { calls, view, admit } = monitor();
    const [push, pull] = [admit('one', [], 'git/push'), admit('one', [], 'git/pull')];
    view.suspend('kil_s', { subject: 'tool:git/push', epoch: 1, seq: 1 });
    calls.abortDenied(view, ['tool:git/push']);
    expect([push.signal.aborted, pull.signal.aborted]).toEqual([true, false]);
  });

  it('a sweep finds what is denied under any subject', () => {
    const { calls, view, admit } = monitor();
    const [one, two] = [admit('one'), admit('two')];
    view.raiseFloor('agent:one', { generation: 2, killId: 'kil_1', keepUntil: Infinity });
    calls.abortDenied(view, null);
    expect([one.signal.aborted, two.signal.aborted]).toEqual([true, false]);
  });
});

describe('what a receipt waits for', () => {
  it('nothing, when nothing was aborted', async () => {
    const { calls, admit } = monitor();
    admit('one');
    await expect(calls.settled()).resolves.toBeUndefined();
  });

  it('the end of every aborted call', async () => {
    const { calls, admit, kill } = monitor();
    const call = admit('one');
    kill('agent:one');
    const settled = jest.fn();
    const waiting = calls.settled().then(settled);
    await Promise.resolve();
    expect(settled).not.toHaveBeenCalled();
    call.finish();
    await waiting;
    expect(calls.counts()).toEqual({ kil_1: { aborted: 1, completed: 0, uncontrolled: 0 } });
  });

  it('but no longer than its time, also when other calls are aborted meanwhile', async () => {
    const { time, calls, admit, kill } = monitor();
    admit('one');
    admit('two');
    kill('agent:one');
    const waiting = calls.settled();
    await time.pass(SETTLE_MS - 10);
    kill('agent:two', 'kil_2');
    await time.pass(10);
    await waiting;
    expect(calls.counts()['kil_1']).toEqual({ aborted: 0, completed: 0, uncontrolled: 1 });
  });

  it('nothing, where calls cannot be aborted: they are uncontrolled', async () => {
    const { calls, admit, kill } = monitor('none');
    admit('one');
    kill('agent:one');
    await calls.settled();
    expect(calls.counts()).toEqual({ kil_1: { aborted: 0, completed: 0, uncontrolled: 1 } });
  });
});

describe('a cut', () => {
  it('is waited for by the next receipt, and forgotten once the calls have ended', async () => {
    const { calls, admit } = monitor();
    const call = admit('one');
    calls.cut();
    const settled = jest.fn();
    const waiting = calls.settled().then(settled);
    await Promise.resolve();
    expect(settled).not.toHaveBeenCalled();
    call.finish();
    await waiting;
    expect([calls.size, calls.counts()]).toEqual([0, {}]);
  });

  it('is waited for no longer than its time, also when it is repeated', async () => {
    const { time, calls, admit } = monitor();
    admit('one');
    calls.cut();
    await time.pass(SETTLE_MS - 10);
    calls.cut();
    const waiting = calls.settled();
    await time.pass(10);
    await expect(waiting).resolves.toBeUndefined();
    expect(calls.size).toBe(1);
  });

  it('by a kill of the enforcement point itself: that kill accounts for every call, ended or not', async () => {
    const { time, calls, admit } = monitor();
    const [ends] = [admit('one'), admit('two')];
    calls.cut('kil_self');
    const waiting = calls.settled();
    ends.finish();
    await time.pass(SETTLE_MS);
    await waiting;
    expect(calls.counts()).toEqual({ kil_self: { aborted: 1, completed: 0, uncontrolled: 1 } });
  });

  it('leaves a call to the kill that had aborted it before', () => {
    const { calls, admit, kill } = monitor();
    admit('one');
    kill('agent:one');
    calls.cut('kil_self');
    expect(calls.counts()).toEqual({ kil_1: { aborted: 0, completed: 0, uncontrolled: 1 } });
  });

  it('without a kill leaves what still runs to the kill that comes after it', () => {
    const { calls, admit, kill } = monitor();
    const [dead, neighbour] = [admit('one'), admit('two')];
    calls.cut();
    kill('agent:one');
    expect(calls.counts()).toEqual({ kil_1: { aborted: 0, completed: 0, uncontrolled: 1 } });
    dead.finish();
    neighbour.finish();
    expect(calls.counts()).toEqual({ kil_1: { aborted: 1, completed: 0, uncontrolled: 0 } });
    expect(calls.size).toBe(0);
  });
});

describe('without a lease', () => {
  it('relayed calls are held and told so once, guarded ones aborted; a release frees what lives', () => {
    const { calls, admit } = monitor();
    const relayed = admit('one');
    const guarded = calls.admit(verifiedToken({ agent: 'one' }), {}, 'guarded');
    const told: boolean[] = [];
    relayed.onHold((held) => told.push(held));
    calls.hold();
    calls.hold();
    expect([relayed.held, relayed.signal.aborted, guarded.signal.aborted]).toEqual([
      true,
      false,
      true,
    ]);
    expect((guarded.signal.reason as RefusedError).denied.code).toBe('enforcement_stale');
    calls.release();
    expect(told).toEqual([true, false]);
    expect(relayed.held).toBe(false);
    expect(calls.counts()).toEqual({});
  });

  it('a call is held from the moment the lease ends, whenever the timers get to run', () => {
    const { lease, admit } = monitor();
    const call = admit('one');
    expect(call.held).toBe(false);
    lease.valid = false;
    expect(call.held).toBe(true);
  });

  it('a relay that cannot be held is aborted, and the others are held all the same', () => {
    const { calls, admit } = monitor();
    const broken = admit('one');
    broken.onHold(() => {
      throw new Error('no');
    });
    const other = admit('two');
    calls.hold();
    expect(broken.signal.aborted).toBe(true);
    expect([other.held, other.signal.aborted]).toEqual([true, false]);
  });

  it('a cut ends every call', () => {
    const { calls, admit } = monitor();
    const open = [admit('one'), admit('two')];
    calls.cut();
    expect(open.map(({ signal }) => signal.aborted)).toEqual([true, true]);
    expect(calls.counts()).toEqual({});
  });

  it('a call that a hold has signalled, still running when its agent is killed, is counted', () => {
    const { calls, kill } = monitor();
    calls.admit(verifiedToken({ agent: 'one' }), {}, 'guarded');
    calls.hold();
    kill('agent:one');
    expect(calls.counts()).toEqual({ kil_1: { aborted: 0, completed: 0, uncontrolled: 1 } });
  });
});
