import { DenialView, type Floor, type InForce, type Lineage } from '../src/semantics';

const floor = (over: Partial<Floor> = {}): Floor => ({
  generation: 2,
  killId: 'kil_a',
  keepUntil: 1_000,
  ...over,
});
const inForce = (over: Partial<InForce> = {}): InForce => ({
  epoch: 1,
  seq: 10,
  floors: [],
  suspensions: [],
  emergencies: [],
  lifted: [],
  ...over,
});

const leaf: Lineage = [
  ['tenant:t', 1],
  ['initiator:i', 1],
  ['agent:root', 1],
  ['agent:leaf', 1],
  ['credential:c', 1],
];
const sibling: Lineage = [
  ['tenant:t', 1],
  ['initiator:i', 1],
  ['agent:root', 1],
  ['agent:sibling', 1],
  ['credential:d', 1],
];

describe('a kill at an enforcement point', () => {
  it('refuses all under the subject, for good, and names the order', () => {
    const view = new DenialView();
    view.raiseFloor('agent:root', floor());
    expect(view.denial(leaf)).toEqual({ subject: 'agent:root', killId: 'kil_a', terminal: true });
    expect(view.denial(sibling)).not.toBeNull();
  });

  it('of one agent leaves its sibling, its parent and every other tree alone', () => {
    const view = new DenialView();
    view.raiseFloor('agent:leaf', floor());
    expect(view.denial(leaf)).not.toBeNull();
    expect(view.denial(sibling)).toBeNull();
    expect(view.denial(leaf.slice(0, 3))).toBeNull();
  });

  it('refuses a credential that it has never heard of, born after the kill in a race with it', () => {
    const view = new DenialView();
    view.raiseFloor('agent:root', floor());
    const unheardOf: Lineage = [...leaf, ['credential:minted-in-a-race', 1]];
    expect(view.denial(unheardOf)?.terminal).toBe(true);
  });

  it('leaves the generation alive that a reinstatement gave', () => {
    const view = new DenialView();
    view.raiseFloor('agent:leaf', floor({ generation: 2 }));
    const reinstated = leaf.map(
      ([subject]) => [subject, subject === 'agent:leaf' ? 2 : 1] as const,
    );
    expect(view.denial(reinstated)).toBeNull();
    expect(view.denial(leaf)).not.toBeNull();
  });

  it('does not take an id for another that it begins', () => {
    const view = new DenialView();
    view.raiseFloor('agent:lea', floor());
    view.raiseFloor('agent:leaf2', floor());
    expect(view.denial(leaf)).toBeNull();
  });

  it('is not fooled by subjects that are names of JavaScript', () => {
    const view = new DenialView();
    for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty'])
      expect(view.denial([[name, 0]])).toBeNull();
    view.raiseFloor('__proto__', floor());
    expect(view.denial([['__proto__', 1]])?.terminal).toBe(true);
    expect(view.denial(leaf)).toBeNull();
  });
});

describe('floors', () => {
  it('are not lowered by an older order that arrives late', () => {
    const view = new DenialView();
    view.raiseFloor('agent:leaf', floor({ generation: 5, killId: 'kil_b' }));
    view.raiseFloor('agent:leaf', floor({ generation: 2, killId: 'kil_a' }));
    expect(view.denial([['agent:leaf', 4]])).toMatchObject({ killId: 'kil_b' });
  });

  it('are kept as long as the latest order asks, in whichever order the two arrive', () => {
    const low = floor({ generation: 2, killId: 'kil_a', keepUntil: 5_000 });
    const high = floor({ generation: 3, killId: 'kil_b', keepUntil: 1_000 });
    for (const orders of [
      [low, high],
      [high, low],
    ]) {
      const view = new DenialView();
      for (const order of orders) view.raiseFloor('agent:leaf', order);
      view.drop(4_999);
      expect(view.denial(leaf)).toMatchObject({ killId: 'kil_b' });
    }
  });

  it('name the first of two orders that asked for the same, in whichever order they arrive', () => {
    const first = floor({ killId: 'kil_a' });
    const repeat = floor({ killId: 'kil_b', keepUntil: 2_000 });
    for (const orders of [
      [first, repeat],
      [repeat, first],
    ]) {
      const view = new DenialView();
      for (const order of orders) view.raiseFloor('agent:leaf', order);
      expect(view.denial(leaf)?.killId).toBe('kil_a');
      expect([...view.floorEntries()]).toEqual([['agent:leaf', { ...first, keepUntil: 2_000 }]]);
    }
  });

  it('are dropped only after the last token that they could stop has expired', () => {
    const view = new DenialView();
    view.raiseFloor('agent:leaf', floor({ keepUntil: 1_000 }));
    view.drop(1_000);
    expect(view.denial(leaf)).not.toBeNull();
    view.drop(1_001);
    expect(view.floorCount).toBe(0);
    expect(view.denial(leaf)).toBeNull();
  });
});

describe('suspensions', () => {
  const suspension = { subject: 'agent:root', epoch: 1, seq: 3 };

  it('refuse, but not for good, until they are lifted', () => {
    const view = new DenialView();
    view.suspend('kil_s', { ...suspension, level: 'tools' });
    expect(view.denial(leaf)).toEqual({
      subject: 'agent:root',
      killId: 'kil_s',
      terminal: false,
      level: 'tools',
    });
    view.lift('kil_s');
    expect(view.denial(leaf)).toBeNull();
    expect(view.suspensionCount).toBe(0);
  });

  it('of several subjects under one id are lifted together', () => {
    const view = new DenialView();
    view.suspend('kil_s', suspension);
    view.suspend('kil_s', { subject: 'agent:other', epoch: 1, seq: 4 });
    expect(view.denial([['agent:other', 1]])).not.toBeNull();
    view.lift('kil_s');
    expect(view.denial([['agent:other', 1]])).toBeNull();
    expect(view.denial(leaf)).toBeNull();
  });

  it('that were lifted never return, though their entry arrives afterwards or again', () => {
    const view = new DenialView();
    view.lift('kil_s');
    view.suspend('kil_s', suspension);
    expect(view.denial(leaf)).toBeNull();
    view.merge(inForce({ suspensions: [['kil_s', suspension]] }));
    expect(view.denial(leaf)).toBeNull();
  });

  it('of one subject under two ids stand until both are lifted', () => {
    const view = new DenialView();
    view.suspend('kil_s', suspension);
    view.suspend('kil_t', suspension);
    view.lift('kil_s');
    expect(view.denial(leaf)?.killId).toBe('kil_t');
    view.lift('kil_t');
    expect(view.denial(leaf)).toBeNull();
  });

  it('give way to a kill anywhere in the lineage, since waiting would not help', () => {
    const view = new DenialView();
    view.suspend('kil_s', suspension);
    view.raiseFloor('credential:c', floor({ killId: 'kil_k' }));
    expect(view.denial(leaf)).toMatchObject({ killId: 'kil_k', terminal: true });
  });

  it('lifting one does not touch a kill of the same subject', () => {
    const view = new DenialView();
    view.suspend('kil_s', suspension);
    view.raiseFloor('agent:root', floor({ killId: 'kil_k' }));
    view.lift('kil_s');
    expect(view.denial(leaf)).toMatchObject({ killId: 'kil_k', terminal: true });
  });
});

describe('emergencies', () => {
  it('refuse every generation, for good', () => {
    const view = new DenialView();
    view.stopInEmergency('kil_e', 'agent:root');
    expect(view.denial([['agent:root', Number.MAX_SAFE_INTEGER]])).toMatchObject({
      killId: 'kil_e',
      terminal: true,
    });
    expect(view.denial([['agent:other', 1]])).toBeNull();
  });

  it('outrank a suspension found nearer the root', () => {
    const view = new DenialView();
    view.suspend('kil_s', { subject: 'tenant:t', epoch: 1, seq: 1 });
    view.stopInEmergency('kil_e', 'agent:leaf');
    expect(view.denial(leaf)).toMatchObject({ killId: 'kil_e', terminal: true });
    expect(view.denial(sibling)).toMatchObject({ killId: 'kil_s', terminal: false });
  });

  it('are closed for one subject at a time: the others stay stopped', () => {
    const view = new DenialView();
    view.stopInEmergency('kil_e', 'agent:root');
    view.stopInEmergency('kil_e', 'agent:other');
    view.raiseFloor('agent:root', floor({ killId: 'kil_e' }));
    view.closeEmergency('kil_e', 'agent:root');
    expect(view.denial([['agent:root', 2]])).toBeNull();
    expect(view.denial(leaf)?.terminal).toBe(true);
    expect(view.denial([['agent:other', 7]])?.terminal).toBe(true);
  });

  it('of the same subject under two ids stand until both are closed', () => {
    const view = new DenialView();
    view.stopInEmergency('kil_e', 'agent:root');
    view.stopInEmergency('kil_f', 'agent:root');
    view.closeEmergency('kil_e', 'agent:root');
    expect(view.denial(leaf)?.killId).toBe('kil_f');
    view.closeEmergency('kil_f', 'agent:root');
    expect(view.denial(leaf)).toBeNull();
  });

  it('whose order was refused are closed for all subjects by a lift, and do not return', () => {
    const view = new DenialView();
    view.stopInEmergency('kil_e', 'agent:root');
    view.stopInEmergency('kil_e', 'agent:other');
    view.lift('kil_e');
    view.stopInEmergency('kil_e', 'agent:root');
    expect(view.denial(leaf)).toBeNull();
    expect(view.denial([['agent:other', 1]])).toBeNull();
  });
});

describe('a snapshot', () => {
  it('adds what it lists and never lowers a floor', () => {
    const view = new DenialView();
    view.raiseFloor('agent:leaf', floor({ generation: 9 }));
    view.merge(
      inForce({
        floors: [
          ['agent:leaf', floor({ generation: 2 })],
          ['agent:other', floor()],
        ],
      }),
    );
    expect(view.denial([['agent:leaf', 8]])).not.toBeNull();
    expect(view.denial([['agent:other', 1]])).not.toBeNull();
  });

  it('does not revive what it says nothing of', () => {
    const view = new DenialView();
    view.raiseFloor('agent:leaf', floor());
    view.stopInEmergency('kil_e', 'agent:other');
    view.merge(inForce());
    expect(view.denial(leaf)).not.toBeNull();
    expect(view.denial([['agent:other', 1]])).not.toBeNull();
  });

  it('ends a suspension of its epoch, up to its place, that it no longer lists', () => {
    const view = new DenialView();
    view.suspend('kil_s', { subject: 'agent:root', epoch: 1, seq: 10 });
    view.merge(inForce());
    expect(view.denial(leaf)).toBeNull();
  });

  it('ends it for the subjects that it no longer lists, and for them alone', () => {
    const view = new DenialView();
    const kept = { subject: 'agent:root', epoch: 1, seq: 3 };
    view.suspend('kil_s', kept);
    view.suspend('kil_s', { subject: 'agent:other', epoch: 1, seq: 4 });
    view.merge(inForce({ suspensions: [['kil_s', kept]] }));
    expect(view.denial(leaf)).not.toBeNull();
    expect(view.denial([['agent:other', 1]])).toBeNull();
  });

  it('keeps a suspension that came after it, or from an earlier epoch', () => {
    const view = new DenialView();
    view.suspend('kil_later', { subject: 'agent:later', epoch: 1, seq: 11 });
    view.suspend('kil_older', { subject: 'agent:older', epoch: 0, seq: 5 });
    view.merge(inForce());
    expect(view.denial([['agent:later', 1]])).not.toBeNull();
    expect(view.denial([['agent:older', 1]])).not.toBeNull();
    view.merge(inForce({ lifted: ['kil_older'] }));
    expect(view.denial([['agent:older', 1]])).toBeNull();
  });

  it('carries open emergencies, and closes those that it lists as resolved', () => {
    const view = new DenialView();
    view.merge(inForce({ emergencies: [['kil_e', 'agent:root']] }));
    expect(view.denial(leaf)).toMatchObject({ killId: 'kil_e', terminal: true });
    view.merge(inForce({ lifted: ['kil_e'], emergencies: [['kil_e', 'agent:root']] }));
    expect(view.denial(leaf)).toBeNull();
  });
});

describe('the version of a view', () => {
  it('grows with everything that can refuse somebody, and stands still for repeats', () => {
    const view = new DenialView();
    const changes = [
      () => view.raiseFloor('agent:a', floor()),
      () => view.raiseFloor('agent:a', floor({ generation: 3 })),
      () => view.suspend('kil_s', { subject: 'agent:a', epoch: 1, seq: 1 }),
      () => view.stopInEmergency('kil_e', 'agent:a'),
      () => view.merge(inForce({ floors: [['agent:b', floor()]] })),
    ];
    for (const change of changes) {
      const before = view.version;
      change();
      expect(view.version).toBeGreaterThan(before);
    }
    const before = view.version;
    view.raiseFloor('agent:a', floor());
    view.raiseFloor('agent:a', floor({ generation: 3 }));
    expect(view.version).toBe(before);
  });
});
