import fc from 'fast-check';
import {
  comparePositions,
  containmentState,
  darkAfterMs,
  enforcementStatus,
  isOnRoster,
  type Boot,
  type EnforcementStatus,
  type Position,
} from '../src/semantics';

const kill: Position = { epoch: 1, seq: 10 };
const at = (seq: number, epoch = 1): Position => ({ epoch, seq });
const boot = (over: Partial<Boot> = {}): Boot => ({
  mode: 'strict',
  since: at(3),
  left: false,
  nacked: false,
  ...over,
});

const status = fc.constantFrom<EnforcementStatus>('enforced', 'dark', 'pending', 'nack', 'unknown');
const position = fc.record({ epoch: fc.integer({ min: 1, max: 2 }), seq: fc.nat(12) });
const anyBoot: fc.Arbitrary<Boot> = fc.record({
  mode: fc.constantFrom<'strict' | 'best_effort'>('strict', 'best_effort'),
  since: position,
  until: fc.option(position, { nil: undefined }),
  left: fc.boolean(),
  applied: fc.option(position, { nil: undefined }),
  nacked: fc.boolean(),
});

describe('the roster of a kill', () => {
  it('holds a boot that entered before it', () => {
    expect(isOnRoster(boot({ since: at(9) }), kill)).toBe(true);
  });

  it('leaves out a boot that entered at or after it, whose snapshot holds the kill already', () => {
    expect(isOnRoster(boot({ since: at(10) }), kill)).toBe(false);
    expect(isOnRoster(boot({ since: at(11) }), kill)).toBe(false);
    expect(isOnRoster(boot({ since: at(0, 2) }), kill)).toBe(false);
  });

  it('keeps a boot that was retired at or after it, and leaves out one retired before', () => {
    expect(isOnRoster(boot({ until: at(10) }), kill)).toBe(true);
    expect(isOnRoster(boot({ until: at(4, 2) }), kill)).toBe(true);
    expect(isOnRoster(boot({ until: at(9) }), kill)).toBe(false);
  });

  it('never shrinks when a living boot is retired later', () => {
    fc.assert(
      fc.property(anyBoot, position, position, (one, order, retired) => {
        fc.pre(comparePositions(order, retired) <= 0);
        const living = { since: one.since };
        expect(isOnRoster({ ...living, until: retired }, order)).toBe(isOnRoster(living, order));
      }),
    );
  });
});

describe('where a boot stands in a kill', () => {
  it('enforces it once a receipt covers it', () => {
    expect(enforcementStatus(boot({ applied: at(10) }), kill, false)).toBe('enforced');
    expect(enforcementStatus(boot({ applied: at(1, 2) }), kill, false)).toBe('enforced');
  });

  it('is pending before that, however much it has applied', () => {
    expect(enforcementStatus(boot({ applied: at(9) }), kill, false)).toBe('pending');
    expect(enforcementStatus(boot(), kill, false)).toBe('pending');
  });

  it('when strict and silent, is dark once its lease has provably run out', () => {
    expect(enforcementStatus(boot(), kill, true)).toBe('dark');
  });

  it('when best-effort and silent, is unknown for ever', () => {
    expect(enforcementStatus(boot({ mode: 'best_effort' }), kill, true)).toBe('unknown');
  });

  it('is dark once it has signed that it refuses everything, in both modes', () => {
    expect(enforcementStatus(boot({ left: true }), kill, false)).toBe('dark');
    expect(enforcementStatus(boot({ left: true, mode: 'best_effort' }), kill, true)).toBe('dark');
  });

  it('that could not apply the entry is a nack, though it has moved past it', () => {
    expect(enforcementStatus(boot({ nacked: true, applied: at(12) }), kill, true)).toBe('nack');
  });

  it('is never reported as enforced without a receipt that covers the kill', () => {
    fc.assert(
      fc.property(anyBoot, position, fc.boolean(), (one, order, passed) => {
        if (enforcementStatus(one, order, passed) !== 'enforced') return;
        expect(one.applied && comparePositions(one.applied, order) >= 0).toBe(true);
        expect(one.nacked).toBe(false);
      }),
    );
  });

  it('is never dark by silence alone when it would go on admitting', () => {
    fc.assert(
      fc.property(anyBoot, position, fc.boolean(), (one, order, passed) => {
        if (enforcementStatus(one, order, passed) !== 'dark' || one.left) return;
        expect(one.mode).toBe('strict');
        expect(passed).toBe(true);
      }),
    );
  });
});

describe('containment', () => {
  it('without any enforcement point is only committed', () => {
    expect(containmentState([])).toBe('committed');
  });

  it('with nobody done yet is committed', () => {
    expect(containmentState(['pending', 'nack', 'unknown'])).toBe('committed');
  });

  it('with some done is partial', () => {
    expect(containmentState(['enforced', 'pending'])).toBe('partial');
    expect(containmentState(['dark', 'unknown'])).toBe('partial');
  });

  it('with all enforced or dark is contained', () => {
    expect(containmentState(['enforced', 'dark'])).toBe('contained');
  });

  it('is never claimed while one enforcement point is pending, unknown or could not apply it', () => {
    fc.assert(
      fc.property(fc.array(status, { minLength: 1 }), (statuses) => {
        const done = statuses.every((one) => one === 'enforced' || one === 'dark');
        expect(containmentState(statuses) === 'contained').toBe(done);
      }),
    );
  });
});

describe('the bound of a strict enforcement point', () => {
  it('is the lease, a tenth of it and a second', () => {
    expect(darkAfterMs(10_000)).toBe(12_000);
    expect(darkAfterMs(2_000)).toBe(3_200);
  });

  it('outlasts a lease measured by a clock that runs a tenth slow', () => {
    fc.assert(
      fc.property(fc.integer({ min: 100, max: 600_000 }), (valid) => {
        expect(darkAfterMs(valid)).toBeGreaterThan(valid * 1.1);
      }),
    );
  });
});
