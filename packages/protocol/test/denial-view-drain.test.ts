import { DenialView, type InForce } from '../src';

const KEEP = 2_000_000_000_000;
const lineage = (...agents: string[]) => agents.map((agent) => [`agent:${agent}`, 1] as const);
const floor = (generation: number, killId: string, cutBelow?: number) => ({
  ...{ generation, killId, keepUntil: KEEP },
  ...(cutBelow !== undefined && { cutBelow }),
});
const at = { epoch: 1, seq: 1 };

describe('a level', () => {
  it('deny_spawn stops no call and cuts nothing, while the same order on another agent denies all', () => {
    const view = new DenialView();
    view.suspend('kil_s', { subject: 'agent:spawner', level: 'deny_spawn', ...at });
    view.suspend('kil_t', { subject: 'agent:stopped', level: 'deny_all', ...at });
    expect([view.denial(lineage('spawner')), view.cut(lineage('spawner'))]).toEqual([null, null]);
    expect(view.denial(lineage('stopped'))).toMatchObject({ killId: 'kil_t', terminal: false });
    expect(view.cut(lineage('stopped'))).toMatchObject({ killId: 'kil_t' });
  });

  it.each([undefined, 'deny_all', 'deny_write', ''])(
    '%j denies everything and cuts, and only its subject',
    (level) => {
      const view = new DenialView();
      view.suspend('kil_s', { subject: 'agent:one', level, ...at });
      expect(view.denial(lineage('one'))).toMatchObject({ killId: 'kil_s' });
      expect(view.cut(lineage('one'))).toMatchObject({ killId: 'kil_s' });
      expect(view.denial(lineage('two'))).toBeNull();
    },
  );

  it.each([
    ['first', ['kil_a', 'kil_b']],
    ['last', ['kil_b', 'kil_a']],
  ] as const)(
    'of two suspensions of one subject, the one that denies all counts, also when it came %s',
    (_, order) => {
      const view = new DenialView();
      for (const id of order)
        view.suspend(id, {
          ...{ subject: 'agent:one', level: id === 'kil_a' ? 'deny_all' : 'deny_spawn' },
          ...at,
        });
      expect(view.denial(lineage('one'))).toMatchObject({ killId: 'kil_a', level: 'deny_all' });
      view.lift('kil_a');
      expect(view.denial(lineage('one'))).toBeNull();
      expect(view.denial(lineage('two'))).toBeNull();
    },
  );
});

describe('drain', () => {
  it('of a floor denies what is new and cuts nothing; a floor without it cuts', () => {
    const view = new DenialView();
    view.raiseFloor('agent:drained', floor(2, 'kil_d', 0));
    view.raiseFloor('agent:cut', floor(2, 'kil_c'));
    expect(view.denial(lineage('drained'))).toMatchObject({ killId: 'kil_d', terminal: true });
    expect(view.cut(lineage('drained'))).toBeNull();
    expect(view.cut(lineage('cut'))).toMatchObject({ killId: 'kil_c' });
  });

  it.each([
    ['before', [floor(2, 'kil_1', 0), floor(2, 'kil_2')]],
    ['after', [floor(2, 'kil_2'), floor(2, 'kil_1', 0)]],
  ])('is outweighed by an order that cuts the same generation, when it came %s it', (_, floors) => {
    const view = new DenialView();
    for (const one of floors) view.raiseFloor('agent:one', one);
    // The first order is still the reason; the other one is why running work is cut.
    expect(view.denial(lineage('one'))).toMatchObject({ killId: 'kil_1' });
    expect(view.cut(lineage('one'))).not.toBeNull();
    expect(view.cut(lineage('two'))).toBeNull();
  });

  it('of a newer generation spares that generation, and no older one', () => {
    const view = new DenialView();
    view.raiseFloor('agent:one', floor(2, 'kil_1'));
    view.raiseFloor('agent:one', floor(3, 'kil_2', 0));
    expect(view.cut([['agent:one', 1]])).not.toBeNull();
    expect(view.cut([['agent:one', 2]])).toBeNull();
    expect(view.denial([['agent:one', 2]])).not.toBeNull();
    expect(view.denial([['agent:one', 3]])).toBeNull();
  });

  it('on an ancestor does not spare work that another order in its lineage cuts', () => {
    const view = new DenialView();
    view.raiseFloor('agent:root', floor(2, 'kil_d', 0));
    expect(view.cut(lineage('root', 'leaf'))).toBeNull();
    view.suspend('kil_s', { subject: 'agent:leaf', ...at });
    expect(view.cut(lineage('root', 'leaf'))).toMatchObject({ killId: 'kil_s' });
    expect(view.cut(lineage('root', 'other'))).toBeNull();
  });

  it('of a suspension holds until a lift, and a kill or an emergency cuts all the same', () => {
    const view = new DenialView();
    view.suspend('kil_s', { subject: 'agent:one', drain: true, ...at });
    expect(view.denial(lineage('one'))).toMatchObject({ killId: 'kil_s' });
    expect(view.cut(lineage('one'))).toBeNull();
    view.stopInEmergency('kil_e', 'agent:one');
    expect(view.cut(lineage('one'))).toMatchObject({ killId: 'kil_e', terminal: true });
    view.closeEmergency('kil_e', 'agent:one');
    view.lift('kil_s');
    expect(view.denial(lineage('one'))).toBeNull();
  });

  it('of a suspension is remembered when a snapshot lists it again without saying so', () => {
    const view = new DenialView();
    view.suspend('kil_s', { subject: 'agent:one', drain: true, ...at });
    const snapshot: InForce = {
      ...{ epoch: 1, seq: 5, floors: [], emergencies: [], lifted: [] },
      suspensions: [
        ['kil_s', { subject: 'agent:one', ...at }],
        ['kil_t', { subject: 'agent:two', ...at }],
      ],
    };
    view.merge(snapshot);
    expect(view.cut(lineage('one'))).toBeNull();
    expect(view.cut(lineage('two'))).toMatchObject({ killId: 'kil_t' });
  });

  it('is known for a floor only as far as the order itself said it', () => {
    const view = new DenialView();
    expect(view.drains('agent:one', 2)).toBe(false);
    view.raiseFloor('agent:one', floor(2, 'kil_d', 0));
    expect([view.drains('agent:one', 2), view.drains('agent:one', 3)]).toEqual([true, false]);
    view.raiseFloor('agent:one', floor(2, 'kil_c'));
    expect(view.drains('agent:one', 2)).toBe(false);
  });
});
