import type { Emergency, Halt, SnapshotItem } from '@sever/protocol';
import type { Effect } from '../src/machine-events';
import { keptEmergenciesIn, type KeptEmergencies } from '../src/kept-emergencies';
import { MachineUnderTest, StreamByHand, WALL } from './support/machine-under-test';

const HOUR = 3_600_000;
const emergency = (subjects: string[], fields: Partial<Emergency> = {}): Emergency => ({
  ...{ type: 'emergency', v: 1, tenant: 'ten_1', kill_id: 'kil_e', subjects },
  ...{ issued_at: WALL, not_after: WALL + 24 * HOUR, ...fields },
});
const halt = (subjects: string[], fields: Partial<Halt> = {}): Halt => ({
  ...{ type: 'halt', v: 1, tenant: 'ten_1', kill_id: 'kil_h', subjects, reason: 'gone wild' },
  ...{ issued_at: WALL, not_after: WALL + 300 * 24 * HOUR, ...fields },
});
const signed = (one: Halt) =>
  ({ type: 'halt', halt: one, jws: `jws of ${one.kill_id}`, kid: 'kid_1' }) as const;
const types = (effects: readonly Effect[]) => effects.map(({ type }) => type);

/** What the disk holds after these effects, as the next process reads it. */
function kept(ep: MachineUnderTest): KeptEmergencies {
  return keptEmergenciesIn(JSON.stringify(ep.asked('keep').emergencies));
}

function restarted(ep: MachineUnderTest, stream = ep.stream): MachineUnderTest {
  const next = new MachineUnderTest(ep.mode, stream, undefined, kept(ep));
  next.mono = ep.mono;
  next.wall = ep.wall;
  return next;
}

describe('an emergency', () => {
  it('is denied before it is written down, cuts, and spares the neighbour', () => {
    const ep = new MachineUnderTest().boot();
    const effects = ep.feed({ type: 'emergency', emergency: emergency(['agent:one']) });
    expect(effects[0]).toEqual({ type: 'abort', subjects: ['agent:one'] });
    expect(types(effects)).toEqual(['abort', 'keep', 'receipt']);
    expect([ep.denies('one'), ep.denies('two')]).toEqual([true, false]);
  });

  it('survives a restart whose snapshot knows nothing of it, before anything is admitted', () => {
    const ep = new MachineUnderTest('best_effort').boot();
    ep.feed({ type: 'emergency', emergency: emergency(['agent:one']) });
    const next = restarted(ep);
    expect(next.denies('one')).toBe(true);
    next.boot();
    expect([next.denies('one'), next.denies('two')]).toEqual([true, false]);
  });

  it('that only a snapshot told of survives a restart too', () => {
    const ep = new MachineUnderTest();
    ep.feed({ type: 'connected' });
    ep.snapshot({}, [['e', 'kil_e', 'agent:one']]);
    const next = restarted(ep).boot();
    expect([next.denies('one'), next.denies('two')]).toEqual([true, false]);
  });

  it('closes for each subject with the entry of its own order, and survives a restart half closed', () => {
    const ep = new MachineUnderTest().boot();
    ep.feed({ type: 'emergency', emergency: emergency(['agent:one', 'agent:two']) });
    ep.entry(ep.stream.append({ op: 'floor', subject: 'agent:one', generation: 2 }, 'kil_e'));
    const reborn = (agent: string) => ep.machine.view.denial([[`agent:${agent}`, 2]]);
    expect(reborn('one')).toBeNull();
    expect(reborn('two')).toMatchObject({ killId: 'kil_e' });
    const next = restarted(ep).boot();
    expect(next.machine.view.denial([['agent:one', 2]])).toBeNull();
    expect(next.machine.view.denial([['agent:two', 2]])).not.toBeNull();
    // A replay does not open again what its entry has closed, though this boot has not seen the entry.
    next.feed({ type: 'emergency', emergency: emergency(['agent:one', 'agent:two']) });
    expect(next.machine.view.denial([['agent:one', 2]])).toBeNull();
  });

  it.each([
    ['a floor', ['f', 'agent:one', 2, WALL + HOUR, 'kil_e']],
    ['its id among the lifted', ['l', 'kil_e']],
  ] as [string, SnapshotItem][])('is closed by a snapshot that holds %s', (_, item) => {
    const ep = new MachineUnderTest().boot();
    ep.feed({ type: 'emergency', emergency: emergency(['agent:one']) });
    ep.feed({ type: 'connected' });
    ep.snapshot({}, [item]);
    expect(ep.machine.view.denial([['agent:one', 2]])).toBeNull();
    expect(kept(ep)).toMatchObject({ open: [], resolved: [{ killId: 'kil_e' }] });
  });

  it.each([
    ['a floor', ['f', 'agent:one', 2, WALL + HOUR, 'kil_e'], 2],
    ['a suspension', ['s', 'kil_e', 'tool:git/push', null, 0], 1],
  ] as [string, SnapshotItem, number][])(
    'that comes after a snapshot with %s of its own order opens nothing, while another opens',
    (_, item, generation) => {
      const ep = new MachineUnderTest();
      ep.feed({ type: 'connected' });
      ep.snapshot({}, [item]);
      ep.lease();
      const subject = item[0] === 'f' ? item[1] : (item[2] as string);
      ep.feed({ type: 'emergency', emergency: emergency([subject]) });
      expect(ep.machine.view.isStopped('kil_e', subject)).toBe(false);
      ep.feed({ type: 'emergency', emergency: emergency([subject], { kill_id: 'kil_other' }) });
      expect(ep.machine.view.denial([[subject, generation]])).toMatchObject({
        killId: 'kil_other',
      });
    },
  );

  it('that comes after its own entry opens nothing, also when a later kill has taken the floor over', () => {
    const ep = new MachineUnderTest().boot();
    ep.entry(ep.stream.append({ op: 'floor', subject: 'agent:one', generation: 2 }, 'kil_e'));
    ep.entry(ep.stream.append({ op: 'floor', subject: 'agent:one', generation: 3 }, 'kil_later'));
    ep.feed({ type: 'emergency', emergency: emergency(['agent:one']) });
    expect(ep.machine.view.denial([['agent:one', 3]])).toBeNull();
  });

  it('that was lifted stays lifted, through a replay and through a restart', () => {
    const ep = new MachineUnderTest().boot();
    ep.feed({ type: 'emergency', emergency: emergency(['agent:one']) });
    ep.entry(ep.stream.append({ op: 'lift', id: 'kil_e' }));
    expect(ep.denies('one')).toBe(false);
    const next = restarted(ep).boot();
    next.feed({ type: 'emergency', emergency: emergency(['agent:one']) });
    expect(next.denies('one')).toBe(false);
  });

  it('lifted before it is heard of opens nothing, and that is remembered', () => {
    const ep = new MachineUnderTest().boot();
    ep.entry(ep.stream.append({ op: 'lift', id: 'kil_e' }));
    ep.feed({ type: 'emergency', emergency: emergency(['agent:one']) });
    expect(ep.denies('one')).toBe(false);
    const next = restarted(ep, new StreamByHand()).boot();
    next.feed({ type: 'emergency', emergency: emergency(['agent:one']) });
    expect(next.denies('one')).toBe(false);
  });

  it('is forgotten after its not_after, by the time that the control plane signs, not by its own clock', () => {
    const ep = new MachineUnderTest('best_effort').boot();
    ep.feed({
      type: 'emergency',
      emergency: emergency(['agent:one'], { not_after: WALL + HOUR }),
    });
    ep.wall += 2 * HOUR;
    ep.feed({ type: 'tick' });
    expect(ep.denies('one')).toBe(true);
    ep.pulse({ n: 1, head: 0 });
    expect(ep.denies('one')).toBe(false);
    expect(kept(ep)).toMatchObject({ open: [], resolved: [] });
    // The disk knows how late it is, so a replay before the first pulse finds it over.
    const next = restarted(ep);
    next.feed({
      type: 'emergency',
      emergency: emergency(['agent:one'], { not_after: WALL + HOUR }),
    });
    expect(next.denies('one')).toBe(false);
  });

  it('writes nothing down while nothing changes', () => {
    const ep = new MachineUnderTest().boot();
    ep.entry(ep.stream.kill('one'));
    ep.pulse({ n: 1, head: 1 });
    ep.feed({ type: 'connected' });
    ep.snapshot();
    expect(types(ep.all)).not.toContain('keep');
  });
});

describe('a halt', () => {
  it('is obeyed without lease and without connection, alarmed, and shown with the next receipts', () => {
    const ep = new MachineUnderTest().boot();
    ep.feed({ type: 'disconnected' });
    ep.pass(60_000);
    expect(ep.standing).toBe('no_lease');
    const effects = ep.feed(signed(halt(['agent:one', 'tool:git/push'])));
    expect(effects[0]).toEqual({ type: 'abort', subjects: ['agent:one', 'tool:git/push'] });
    expect(effects).toContainEqual({
      type: 'alarm',
      alarm: { kind: 'halt', detail: expect.stringContaining('kil_h') as string },
    });
    expect([ep.denies('one'), ep.denies('two')]).toEqual([true, false]);
    expect(ep.machine.view.suspensionOf('tool:git/push')).toMatchObject({ killId: 'kil_h' });
    expect(ep.machine.view.suspensionOf('tool:git/pull')).toBeNull();
    expect(ep.asked('receipt').body.halts).toEqual(['jws of kil_h']);
  });

  it('brought twice is alarmed once', () => {
    const ep = new MachineUnderTest().boot();
    ep.feed(signed(halt(['agent:one'])));
    expect(types(ep.feed(signed(halt(['agent:one']))))).not.toContain('alarm');
  });

  it('survives a restart with its signature, until the control plane has committed it', () => {
    const ep = new MachineUnderTest('best_effort').boot();
    ep.feed(signed(halt(['agent:one', 'agent:two'])));
    const next = restarted(ep).boot();
    expect([next.denies('one'), next.denies('three')]).toEqual([true, false]);
    expect(next.asked('receipt').body.halts).toEqual(['jws of kil_h']);
    // One entry of the order shows that it has arrived; its other subject stays stopped until its own.
    next.entry(next.stream.append({ op: 'floor', subject: 'agent:one', generation: 2 }, 'kil_h'));
    expect(next.asked('receipt').body.halts).toEqual([]);
    expect(next.machine.view.denial([['agent:one', 2]])).toBeNull();
    expect(next.machine.view.denial([['agent:two', 2]])).toMatchObject({ killId: 'kil_h' });
  });

  it('that was committed, or lifted, is not opened again by a replay a month later, after a restart', () => {
    const ep = new MachineUnderTest('best_effort').boot();
    ep.feed(signed(halt(['agent:one'])));
    ep.entry(ep.stream.append({ op: 'floor', subject: 'agent:one', generation: 2 }, 'kil_h'));
    ep.feed(signed(halt(['agent:other'], { kill_id: 'kil_i' })));
    ep.entry(ep.stream.append({ op: 'lift', id: 'kil_i' }));
    const next = restarted(ep);
    next.wall += 30 * 24 * HOUR;
    next.boot();
    next.feed(signed(halt(['agent:one'])));
    next.feed(signed(halt(['agent:other'], { kill_id: 'kil_i' })));
    expect(next.machine.view.denial([['agent:one', 2]])).toBeNull();
    expect(next.denies('other')).toBe(false);
    expect(next.machine.dropped).toMatchObject({ resolved_halt: 2 });
    // Another order by the same key is another order.
    next.feed(signed(halt(['agent:one'], { kill_id: 'kil_new' })));
    expect(next.machine.view.denial([['agent:one', 2]])).toMatchObject({ killId: 'kil_new' });
  });

  it('past its not_after means nothing', () => {
    const ep = new MachineUnderTest().boot();
    ep.feed(signed(halt(['agent:one'], { not_after: WALL - 1 })));
    expect(ep.denies('one')).toBe(false);
    expect(ep.machine.dropped).toEqual({ expired_halt: 1 });
  });

  it('is written down even by a machine that is dark, for the process after it', () => {
    const ep = new MachineUnderTest().boot();
    ep.machine.goDark({ kind: 'lock_lost', detail: 'a test' });
    expect(types(ep.feed(signed(halt(['agent:one']))))).toContain('keep');
    const next = restarted(ep).boot();
    expect([next.denies('one'), next.denies('two')]).toEqual([true, false]);
  });

  it('of the whole tenant, or of this enforcement point, stops everything there', () => {
    const ep = new MachineUnderTest().boot();
    ep.feed(signed(halt(['tenant:ten_1'])));
    expect(ep.machine.view.denial([['tenant:ten_1', 1]])).toMatchObject({ killId: 'kil_h' });
    expect(ep.standing).toBe('fresh');
    ep.feed(signed(halt(['enforcement_point:enf_1'], { kill_id: 'kil_self' })));
    expect(ep.standing).toBe('dark');
    expect(ep.machine.isRevoked).toBe(true);
  });

  it('of many, as many are shown as one receipt may carry, and all in turn', () => {
    const ep = new MachineUnderTest().boot();
    const ids = Array.from({ length: 12 }, (_, n) => `kil_h${n}`);
    for (const kill_id of ids) ep.feed(signed(halt([`agent:${kill_id}`], { kill_id })));
    ep.pulse({ n: 1, head: 0 });
    const shown = new Set<string>();
    for (let n = 0; n < 4; n += 1) {
      ep.feed({ type: 'drained' });
      ep.pass(1);
      const { halts } = ep.asked('receipt').body;
      expect(halts).toHaveLength(8);
      for (const jws of halts) shown.add(jws);
    }
    expect([...shown].sort()).toEqual(ids.map((id) => `jws of ${id}`).sort());
  });
});

describe('what an earlier process wrote down', () => {
  it.each([
    '',
    '{}',
    '[]',
    '{"v":2,"now":0,"open":[],"resolved":[]}',
    '{"v":1,"now":0,"open":[{"killId":"k"}],"resolved":[]}',
    '{"v":1,"now":0,"open":[],"resolved":[{"killId":"k"}]}',
  ])('is not guessed at when it is %j', (text) => {
    expect(() => keptEmergenciesIn(text)).toThrow();
  });
});
