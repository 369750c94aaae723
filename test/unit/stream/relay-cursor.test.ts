import { RelayCursor } from '../../../src/stream/relay-cursor';

const entries = (...seqs: number[]) => seqs.map((seq) => ({ seq }));
const at = (seq: number, epoch = 1) => ({ epoch, seq });

/** Hands over whatever waits, and says what that was. */
function publish(cursor: RelayCursor<{ seq: number }>): string[] {
  const published: string[] = [];
  for (let batch = cursor.take(2); batch !== null; batch = cursor.take(2)) {
    cursor.handedOver(batch);
    for (const { seq } of batch.entries) published.push(`${batch.epoch}.${seq}`);
  }
  return published;
}

describe('where a stream is on its way to the broker', () => {
  let cursor: RelayCursor<{ seq: number }>;

  beforeEach(() => {
    cursor = new RelayCursor(at(3));
  });

  it('hands over what follows, in order, once', () => {
    expect(cursor.offer(1, entries(2, 3, 4, 5, 6))).toBe(true);
    expect(cursor.offer(1, entries(5, 6))).toBe(true);
    expect(publish(cursor)).toEqual(['1.4', '1.5', '1.6']);
    expect(cursor.tail).toEqual(at(6));
  });

  it('takes nothing across a gap, and what lies in it first', () => {
    expect(cursor.offer(1, entries(5))).toBe(false);
    expect(cursor.offer(1, entries(4, 5))).toBe(true);
    expect(publish(cursor)).toEqual(['1.4', '1.5']);
  });

  it('begins a newer epoch at its first entry, and drops what is of an older one', () => {
    cursor.offer(1, entries(4));
    expect(cursor.offer(2, entries(2))).toBe(false);
    expect(cursor.offer(2, entries(1, 2))).toBe(true);
    expect(cursor.offer(1, entries(5))).toBe(true);
    expect(publish(cursor)).toEqual(['1.4', '2.1', '2.2']);
  });

  it('never mixes epochs in one batch', () => {
    cursor.offer(1, entries(4));
    cursor.offer(2, entries(1));
    expect(cursor.take(10)).toMatchObject({ epoch: 1, entries: entries(4) });
    expect(cursor.take(10)).toMatchObject({ epoch: 2, entries: entries(1) });
  });

  it('goes back to what the broker is known to hold', () => {
    cursor.offer(1, entries(4, 5));
    publish(cursor);
    cursor.confirm(cursor.mark());
    cursor.offer(1, entries(6, 7));
    publish(cursor);
    cursor.rewind();
    expect(cursor.tail).toEqual(at(5));
  });

  it('does not take for held what was handed over after the question', () => {
    cursor.offer(1, entries(4));
    publish(cursor);
    const mark = cursor.mark();
    cursor.offer(1, entries(5));
    publish(cursor);
    cursor.confirm(mark);
    cursor.rewind();
    expect(cursor.tail).toEqual(at(4));
  });

  it('does not believe an answer about a connection that is lost', () => {
    cursor.offer(1, entries(4));
    publish(cursor);
    const mark = cursor.mark();
    cursor.rewind();
    cursor.confirm(mark);
    cursor.rewind();
    expect(cursor.tail).toEqual(at(3));
  });

  it('does not publish what was taken before a connection was lost', () => {
    cursor.offer(1, entries(4));
    const batch = cursor.take(10);
    cursor.rewind();
    expect(batch && cursor.mayPublish(batch)).toBe(false);
    cursor.offer(1, entries(4));
    const again = cursor.take(10);
    expect(again && cursor.mayPublish(again)).toBe(true);
  });
});
