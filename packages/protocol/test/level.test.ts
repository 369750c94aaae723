import fc from 'fast-check';
import { DenialView, isNarrow, levelOf, levelText, parseLevel, stops, type Act } from '../src';

const at = { epoch: 1, seq: 1 };
const read: Act = { name: 'git/get_file', effect: 'read' };
const write: Act = { name: 'git/push', effect: 'write' };
const NOTHING = undefined;

/** level → what of [nothing in particular, a read, a write] it takes */
const TABLE: readonly (readonly [string | undefined, readonly [boolean, boolean, boolean]])[] = [
  [undefined, [true, true, true]],
  ['deny_all', [true, true, true]],
  ['deny_writes', [false, false, true]],
  ['deny_spawn', [false, false, false]],
  ['deny_tools:[git/push]', [false, false, true]],
  ['deny_tools:[git/get_*]', [false, true, false]],
  ['deny_tools:[git/*]', [false, true, true]],
  ['deny_tools:[git/pus,git/pushed]', [false, false, false]],
  ['a_level_of_tomorrow', [true, true, true]],
  ['deny_tools:[]', [true, true, true]],
  ['deny_tools:[*]', [true, true, true]],
];

describe('the level of a suspension', () => {
  it.each(TABLE)('%s takes exactly what it says', (level, [bare, reading, writing]) => {
    const parsed = levelOf(level);
    expect([NOTHING, read, write].map((act) => stops(parsed, act))).toEqual([
      bare,
      reading,
      writing,
    ]);
  });

  it.each([
    ['deny_tools:["git/push", "git/force_*"]', 'deny_tools:[git/push,git/force_*]'],
    ['deny_tools:[ git/push ]', 'deny_tools:[git/push]'],
    ['deny_writes', 'deny_writes'],
  ])('%s is stored as %s', (asked, stored) => {
    const level = parseLevel(asked);
    expect(level && levelText(level)).toBe(stored);
    expect(parseLevel(stored)).toEqual(level);
  });

  it.each([
    '',
    'deny',
    'DENY_ALL',
    'deny_tools',
    'deny_tools:[]',
    'deny_tools:[push]',
    'deny_tools:[git/]',
    'deny_tools:[git/a*b]',
    'deny_tools:[git/push,]',
    'deny_tools:[Git/push]',
    `deny_tools:[git/${'x'.repeat(512)}]`,
    `deny_tools:[${Array.from({ length: 33 }, (_, i) => `a/${i}`).join(',')}]`,
  ])('%s is none', (text) => {
    expect(parseLevel(text)).toBeNull();
  });

  it('never takes less than a reader can make out: whatever is not understood takes everything', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        const level = levelOf(text);
        if (parseLevel(text) === null) expect(stops(level, NOTHING)).toBe(true);
      }),
    );
  });
});

describe('a view with narrow suspensions', () => {
  const lineage = (agent: string) => [[`agent:${agent}`, 1]] as const;

  it('refuses the writes of one agent, and neither its reads nor a neighbour', () => {
    const view = new DenialView();
    view.suspend('kil_w', { subject: 'agent:one', level: 'deny_writes', ...at });
    expect(view.denial(lineage('one'), write)).toMatchObject({
      killId: 'kil_w',
      level: 'deny_writes',
      terminal: false,
    });
    expect(view.denial(lineage('one'), read)).toBeNull();
    expect(view.denial(lineage('one'))).toBeNull();
    expect(view.denial(lineage('two'), write)).toBeNull();
    expect([view.isNarrowed(lineage('one')), view.isNarrowed(lineage('two'))]).toEqual([
      true,
      false,
    ]);
    view.lift('kil_w');
    expect([view.denial(lineage('one'), write), view.isNarrowed(lineage('one'))]).toEqual([
      null,
      false,
    ]);
  });

  it('with two of them refuses what either refuses; deny_all beside them refuses all', () => {
    const view = new DenialView();
    view.suspend('kil_w', { subject: 'agent:one', level: 'deny_writes', ...at });
    view.suspend('kil_t', { subject: 'agent:one', level: 'deny_tools:[git/get_*]', ...at });
    expect(view.denial(lineage('one'), write)?.killId).toBe('kil_w');
    expect(view.denial(lineage('one'), read)?.killId).toBe('kil_t');
    expect(view.denial(lineage('one'), { ...read, name: 'git/log' })).toBeNull();
    view.suspend('kil_a', { subject: 'agent:one', ...at });
    expect(view.denial(lineage('one'), { ...read, name: 'git/log' })?.killId).toBe('kil_a');
  });

  it('cuts the running writes alone, and none that the order lets drain', () => {
    const view = new DenialView();
    view.suspend('kil_w', { subject: 'agent:one', level: 'deny_writes', ...at });
    view.suspend('kil_d', { subject: 'agent:two', level: 'deny_writes', drain: true, ...at });
    expect(view.cut(lineage('one'), write)?.killId).toBe('kil_w');
    expect(view.cut(lineage('one'), read)).toBeNull();
    expect(view.cut(lineage('two'), write)).toBeNull();
    expect(view.denial(lineage('two'), write)?.killId).toBe('kil_d');
  });

  it('a kill and an emergency take everything, whatever is narrowed beside them', () => {
    const view = new DenialView();
    for (const agent of ['one', 'two'])
      view.suspend('kil_w', { subject: `agent:${agent}`, level: 'deny_writes', ...at });
    view.raiseFloor('agent:one', { generation: 2, killId: 'kil_k', keepUntil: 1 });
    view.stopInEmergency('kil_e', 'agent:two');
    expect(view.denial(lineage('one'), read)).toMatchObject({ killId: 'kil_k', terminal: true });
    expect(view.denial(lineage('two'), read)).toMatchObject({ killId: 'kil_e', terminal: true });
  });

  it('isNarrow names exactly the levels whose answer depends on the call', () => {
    for (const [level] of TABLE) {
      const parsed = levelOf(level);
      const answers = [NOTHING, read, write].map((act) => stops(parsed, act));
      // A level that matches none of these calls by name still depends on it.
      if (new Set(answers).size > 1) expect(isNarrow(parsed)).toBe(true);
      if (answers.every((stopped) => stopped)) expect(isNarrow(parsed)).toBe(false);
    }
  });
});
