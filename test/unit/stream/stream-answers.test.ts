import { newsAnswer, rangeAnswer } from '../../../src/stream/stream-answers';

const entries = (...seqs: number[]) => seqs.map((seq) => ({ seq }));
const head = { epoch: 2, seq: 9, compactedBelow: 4 };

describe('what is told of a stream', () => {
  it.each([
    ['of another epoch', { epoch: 1, from: 5 }, entries()],
    ['that is not kept any more', { epoch: 2, from: 3 }, entries(4, 5)],
    ['whose first entry went between two looks', { epoch: 2, from: 5 }, entries(6)],
  ])('says that a range %s is compacted', (_, asked, found) => {
    expect(rangeAnswer(asked, head, found)).toEqual({ compacted: true, entries: [] });
  });

  it('brings a range that is whole, and an empty one from the head on', () => {
    expect(rangeAnswer({ epoch: 2, from: 5 }, head, entries(5, 6))).toEqual({
      compacted: false,
      entries: entries(5, 6),
    });
    expect(rangeAnswer({ epoch: 2, from: 10 }, head, [])).toEqual({
      compacted: false,
      entries: [],
    });
  });

  it('says that there is no stream of which nothing is known', () => {
    expect(rangeAnswer({ epoch: 2, from: 1 }, null, [])).toEqual({ compacted: true, entries: [] });
  });

  it.each([
    ['a newer epoch has begun', { epoch: 1, seq: 9 }, entries()],
    ['what follows is not kept any more', { epoch: 2, seq: 2 }, entries(4)],
    ['what follows went between two looks', { epoch: 2, seq: 5 }, entries(7)],
  ])('has no unbroken way on when %s', (_, after, found) => {
    expect(newsAnswer(after, head, found)).toMatchObject({ compacted: true, entries: [] });
  });

  it('tells what follows, and nothing to whoever is at the head or ahead of it', () => {
    expect(newsAnswer({ epoch: 2, seq: 7 }, head, entries(8, 9))).toEqual({
      head: { epoch: 2, seq: 9 },
      compacted: false,
      entries: entries(8, 9),
    });
    for (const after of [
      { epoch: 2, seq: 9 },
      { epoch: 2, seq: 12 },
      { epoch: 3, seq: 1 },
    ])
      expect(newsAnswer(after, head, [])).toMatchObject({ compacted: false, entries: [] });
  });
});
