import { DenialView } from '@sever/protocol';
import { InFlight } from '../src/in-flight';
import { verifiedToken } from './support/verified-token';

function calls() {
  const inFlight = new InFlight({
    clock: { monotonic: () => 0, wall: () => 0 },
    timers: { after: () => () => undefined },
    abort: 'stream',
    mayRelay: () => true,
  });
  const view = new DenialView();
  const told: string[] = [];
  const admit = (agent: string, ancestors: string[] = []) =>
    inFlight.admit(verifiedToken({ agent, ancestors }), { tool: 'git/push' }, 'relayed');
  const watch = (agent: string, ancestors: string[] = []) =>
    admit(agent, ancestors).onKilled(() => void told.push(agent));
  const kill = (subject: string) => {
    view.raiseFloor(subject, { generation: 2, killId: 'kil_1', keepUntil: Infinity });
    inFlight.abortDenied(view, [subject]);
  };
  return { inFlight, view, told, admit, watch, kill };
}

describe('who watches for the kill of an agent', () => {
  it('is told of its own and of an ancestor, once, also when the call has long ended, and of no other', () => {
    const { inFlight, told, admit, kill } = calls();
    for (const [agent, ancestors] of [
      ['one', []],
      ['below', ['one']],
      ['neighbour', []],
    ] as const) {
      const call = admit(agent, [...ancestors]);
      call.onKilled(() => void told.push(agent));
      call.finish();
    }
    kill('agent:one');
    kill('agent:one');
    expect(told.sort()).toEqual(['below', 'one']);
    expect(inFlight.counts()).toEqual({});
    expect(inFlight.size).toBe(0);
  });

  it('is told at once when the kill came before it asked', () => {
    const { told, admit, kill } = calls();
    const call = admit('one');
    kill('agent:one');
    call.onKilled(() => void told.push('one'));
    expect(told).toEqual(['one']);
  });

  it('is told by a snapshot that shows the kill', () => {
    const { inFlight, view, told, watch } = calls();
    watch('one');
    watch('neighbour');
    view.raiseFloor('agent:one', { generation: 2, killId: 'kil_1', keepUntil: Infinity });
    inFlight.abortDenied(view, null);
    expect(told).toEqual(['one']);
  });

  it('is not told of a suspension, which may be lifted, but of the kill that it becomes', () => {
    const { inFlight, view, told, watch, kill } = calls();
    watch('one');
    view.suspend('kil_s', { subject: 'agent:one', level: 'deny_all', epoch: 1, seq: 1 });
    inFlight.abortDenied(view, ['agent:one']);
    expect(told).toEqual([]);
    kill('agent:one');
    expect(told).toEqual(['one']);
  });

  it('is not told once it has ended its watch, nor does one that fails keep the next from it', () => {
    const { told, admit, watch, kill } = calls();
    watch('one')();
    admit('one').onKilled(() => {
      throw new Error('cannot be told');
    });
    admit('one').onKilled(() => void told.push('last'));
    kill('agent:one');
    expect(told).toEqual(['last']);
  });
});
