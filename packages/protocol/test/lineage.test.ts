import fc from 'fast-check';
import {
  deepestAgent,
  EPOCH_STRIDE,
  idOfKind,
  isBelowFloor,
  raisedFloor,
  type Lineage,
} from '../src/semantics';

const generation = fc.integer({ min: 1, max: 1_000 });
/** In epoch 2^21 a floor would reach 2^53, where adding 1 changes nothing any more. */
const epoch = fc.integer({ min: 1, max: 2 ** 21 - 1 });

describe('floors', () => {
  it('a subject that was never killed has no floor and is alive in its first generation', () => {
    expect(isBelowFloor(1, undefined)).toBe(false);
    expect(isBelowFloor(1, 1)).toBe(false);
  });

  it('a kill ends the present generation and every earlier one', () => {
    fc.assert(
      fc.property(generation, generation, epoch, (floor, present, e) => {
        const raised = raisedFloor(floor, present, e);
        expect(isBelowFloor(present, raised)).toBe(true);
        expect(isBelowFloor(present - 1, raised)).toBe(true);
      }),
    );
  });

  it('the generation that a reinstatement gives is alive, until the next kill', () => {
    fc.assert(
      fc.property(generation, epoch, (present, e) => {
        const reinstated = raisedFloor(1, present, e);
        expect(isBelowFloor(reinstated, reinstated)).toBe(false);
        expect(isBelowFloor(reinstated, raisedFloor(reinstated, reinstated, e))).toBe(true);
      }),
    );
  });

  it('a kill never lowers a floor, and repeating it raises nothing', () => {
    fc.assert(
      fc.property(generation, generation, epoch, (floor, present, e) => {
        const once = raisedFloor(floor, present, e);
        expect(once).toBeGreaterThanOrEqual(floor);
        expect(raisedFloor(once, present, e)).toBe(once);
      }),
    );
  });

  it('a kill in a later epoch outranks every generation an earlier epoch can have handed out', () => {
    expect(raisedFloor(1, 1, 1)).toBe(EPOCH_STRIDE);
    fc.assert(
      fc.property(epoch, fc.integer({ min: 1, max: 2 ** 32 - 1 }), (e, used) => {
        const handedOut = (e - 1) * EPOCH_STRIDE + used;
        expect(raisedFloor(1, 1, e)).toBeGreaterThan(handedOut);
      }),
    );
  });

  it('stays exact in the last epoch that a double can hold', () => {
    const floor = raisedFloor(1, 1, 2 ** 21 - 1);
    expect(Number.isSafeInteger(floor)).toBe(true);
    expect(raisedFloor(floor, floor, 2 ** 21 - 1)).toBe(floor + 1);
  });
});

describe('reading a lineage', () => {
  const lineage: Lineage = [
    ['tenant:t', 1],
    ['initiator:i', 3],
    ['agent:root', 1],
    ['agent:middle', 1],
    ['label:team:agent:x', 1],
    ['agent:leaf', 2],
    ['credential:c', 1],
  ];

  it('the deepest agent is the last one named', () => {
    expect(deepestAgent(lineage)).toBe('leaf');
    expect(deepestAgent([['tenant:t', 1]])).toBeUndefined();
  });

  it('finds the id of the first subject of a kind, colons and all', () => {
    expect(idOfKind(lineage, 'tenant')).toBe('t');
    expect(idOfKind(lineage, 'agent')).toBe('root');
    expect(idOfKind(lineage, 'label')).toBe('team:agent:x');
    expect(idOfKind(lineage, 'service')).toBeUndefined();
  });

  it('does not take a kind for another that it begins', () => {
    expect(idOfKind([['agents:x', 1]], 'agent')).toBeUndefined();
  });
});
