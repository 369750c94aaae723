import { InFlight, type CallKind } from '../src/in-flight';
import { HOLD_MS } from '../src/lapse-watch';
import { verifiedToken } from './support/verified-token';

/** Timers and a monotonic clock that a test turns by hand. */
function turnedTime() {
  let now = 0;
  let waiting: { at: number; run: () => void }[] = [];
  return {
    clock: { monotonic: () => now, wall: () => 0 },
    timers: {
      after: (milliseconds: number, run: () => void) => {
        const timer = { at: now + milliseconds, run };
        waiting.push(timer);
        return () => void (waiting = waiting.filter((other) => other !== timer));
      },
    },
    waits: () => waiting.length,
    pass(milliseconds: number): void {
      const until = now + milliseconds;
      for (;;) {
        const next = waiting.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
        if (next === undefined) break;
        waiting = waiting.filter((other) => other !== next);
        now = next.at;
        next.run();
      }
      now = until;
    },
  };
}

/** A best_effort enforcement point: bytes may pass without a lease, save those of calls that are strict themselves. */
function bestEffort(options: { watched?: boolean } = {}) {
  const time = turnedTime();
  const lease = { valid: true };
  const calls = new InFlight({
    ...{ clock: time.clock, timers: time.timers, abort: 'stream', mayRelay: () => true },
    ...(options.watched !== false && { isLeased: () => lease.valid }),
  });
  const admit = (mode?: 'strict', kind: CallKind = 'relayed') =>
    calls.admit(verifiedToken({ agent: 'one' }), { tool: 'git/push', mode }, kind);
  return { time, lease, calls, admit };
}

describe('a call that is strict by itself, at a best_effort enforcement point', () => {
  it('is held from the moment the lease is over, while its neighbour goes on', () => {
    const { lease, admit } = bestEffort();
    const [strict, other] = [admit('strict'), admit()];
    expect([strict.held, other.held]).toEqual([false, false]);
    lease.valid = false;
    expect([strict.held, other.held]).toEqual([true, false]);
  });

  it('is told so, goes on with the next lease, and is cut when none comes for long', () => {
    const { time, lease, admit } = bestEffort();
    const [strict, other] = [admit('strict'), admit()];
    const told: boolean[] = [];
    strict.onHold((held) => void told.push(held));
    lease.valid = false;
    time.pass(1_000);
    expect(told).toEqual([true]);
    lease.valid = true;
    time.pass(1_000);
    expect(told).toEqual([true, false]);
    expect(strict.held).toBe(false);
    lease.valid = false;
    time.pass(HOLD_MS - 1_000);
    expect(strict.signal.aborted).toBe(false);
    time.pass(2_000);
    expect(strict.signal.aborted).toBe(true);
    expect([other.signal.aborted, other.held]).toEqual([false, false]);
  });

  it('is stopped at once where only a signal reaches it', () => {
    const { time, lease, admit } = bestEffort();
    const [strict, other] = [admit('strict', 'guarded'), admit(undefined, 'guarded')];
    lease.valid = false;
    time.pass(500);
    expect([strict.signal.aborted, other.signal.aborted]).toEqual([true, false]);
  });

  it('leaves no timer behind', () => {
    const { time, admit } = bestEffort();
    const strict = admit('strict');
    expect(time.waits()).toBe(1);
    strict.finish();
    expect(time.waits()).toBe(0);
  });

  it('would go on for ever if nobody watched it', () => {
    const { time, lease, admit } = bestEffort({ watched: false });
    const strict = admit('strict');
    lease.valid = false;
    time.pass(2 * HOLD_MS);
    expect([strict.held, strict.signal.aborted]).toEqual([false, false]);
  });
});
