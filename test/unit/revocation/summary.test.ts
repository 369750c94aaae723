import { newId, type Containment } from '@sever/protocol';
import { summarize } from '../../../src/revocation/summary';
import { readWait } from '../../../src/revocation/wait';

const none: Containment = {
  ...{ required: 0, enforced: 0, dark: 0, pending: [], nack: [], unknown: [] },
  ...{ enforced_by: null, latency_ms: null, not_covered: [] },
};
const KILL = { action: 'kill', lifted: null, reinstated: null } as const;
const point = (name: string) => ({ id: newId('enforcementPoint'), name });

describe('the sentence that a tired person reads', () => {
  it('says that it is done only when all have proven it', () => {
    expect(summarize(KILL, 'contained', { ...none, required: 12, enforced: 12 })).toBe(
      'Stopped at all 12 enforcement points.',
    );
    expect(summarize(KILL, 'contained', { ...none, required: 2, enforced: 1, dark: 1 })).toBe(
      'Stopped at all 2 enforcement points (1 provably dark).',
    );
  });

  it('names who is missing and by when it is dark', () => {
    const pending = [
      { ...point('ep-7'), mode: 'strict' as const, dark_by: '2026-01-01T03:12:15.000Z' },
    ];
    expect(summarize(KILL, 'partial', { ...none, required: 12, enforced: 11, pending })).toBe(
      'Stopped at 11 of 12 enforcement points; ep-7 has not answered yet, provably dark by 03:12:15Z.',
    );
  });

  it('puts first what needs hands, and counts the rest', () => {
    const said = summarize(KILL, 'committed', {
      ...none,
      required: 5,
      unknown: ['b', 'c', 'd'].map(point),
      nack: [{ ...point('a'), error: 'x' }],
      pending: [{ ...point('e'), mode: 'best_effort', dark_by: null }],
    });
    expect(said).toMatch(/^Stopped at 0 of 5 enforcement points; a could not apply the order/);
    expect(said).toContain('b is silent and may still admit calls');
    expect(said).toMatch(/and 2 more\.$/);
  });

  it('does not pretend that anything is refused where nobody enforces', () => {
    expect(summarize(KILL, 'committed', none)).toContain('no enforcement point was enrolled');
  });
});

describe('?wait=', () => {
  it.each([
    [undefined, 2_000],
    ['0', 0],
    ['5s', 5_000],
    ['250ms', 250],
    ['31s', 30_000],
    ['999999999s', 30_000],
  ])('%s waits for %i ms', (text, ms) => expect(readWait(text)).toBe(ms));
});
