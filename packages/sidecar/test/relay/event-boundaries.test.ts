import fc from 'fast-check';
import { EventBoundaries } from '../../src/relay/event-boundaries';

const LIMIT = 1_000;

function push(text: string, boundaries = new EventBoundaries(LIMIT)): string {
  return boundaries.push(Buffer.from(text)).toString();
}

describe('event boundaries', () => {
  it.each([
    ['LF', 'data: 1\n\n'],
    ['CR LF', 'data: 1\r\n\r\n'],
    ['CR', 'data: 1\r\r'],
    ['a mixture', 'id: 4\rdata: 1\r\n\n'],
    ['a comment alone', ': still here\n'],
    ['an empty line', '\n'],
  ])('hands on what ends with %s', (_what, text) => {
    expect(push(text)).toBe(text);
  });

  it.each(['data: 1\n', 'data: 1', 'id: 4\n: comment within\n', 'data: 1\r\n', ': half a comment'])(
    'keeps %j until it ends',
    (text) => {
      const boundaries = new EventBoundaries(LIMIT);
      expect(push(text, boundaries)).toBe('');
      expect(push('\n\n', boundaries)).toBe(`${text}\n\n`);
    },
  );

  it('hands on whole events and keeps the part of the next', () => {
    const boundaries = new EventBoundaries(LIMIT);
    expect(push('data: 1\n\ndata: 2\n\nda', boundaries)).toBe('data: 1\n\ndata: 2\n\n');
    expect(boundaries.whole).toBe(true);
    expect(boundaries.rest().toString()).toBe('da');
  });

  it('is not whole between the parts of an event beyond the limit, and whole after its end', () => {
    const boundaries = new EventBoundaries(10);
    expect(push('data: 0123456789', boundaries)).toBe('data: 0123456789');
    expect(boundaries.whole).toBe(false);
    expect(push('more', boundaries)).toBe('more');
    expect(boundaries.whole).toBe(false);
    expect(push('\n\nda', boundaries)).toBe('\n\n');
    expect(boundaries.whole).toBe(true);
  });

  it('loses and adds no byte, and stops only between events, however the stream is chopped', () => {
    const line = fc.constantFrom('data: {"a":1}', 'id: 7', ': note', 'event: message', '', 'x');
    const end = fc.constantFrom('\n', '\r\n', '\r');
    const stream = fc
      .array(fc.tuple(line, end), { maxLength: 20 })
      .map((lines) => lines.flat().join(''));
    fc.assert(
      fc.property(stream, fc.array(fc.nat(7), { maxLength: 60 }), (text, sizes) => {
        const boundaries = new EventBoundaries(LIMIT);
        let handedOn = '';
        let at = 0;
        for (const size of [...sizes, text.length]) {
          handedOn += push(text.slice(at, at + size), boundaries);
          at += size;
          expect(openFields(handedOn)).toBe(false);
        }
        expect(handedOn + boundaries.rest().toString()).toBe(text);
      }),
    );
  });
});

/** Does the text end within an event, as a reader of the format sees it? Slow and plain, to check the quick one. */
function openFields(text: string): boolean {
  const lines = text.split(/\r\n|\n|\r/);
  if (lines.pop() !== '') return true;
  let open = false;
  for (const line of lines) open = line === '' ? false : open || !line.startsWith(':');
  return open;
}
