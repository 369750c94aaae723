import fc from 'fast-check';
import { rewriteEvents } from '../../src/mcp/rewrite-events';

async function through(
  chunks: readonly (string | Buffer)[],
  rewrite: (data: string) => string | undefined,
  options: { only?: string; limit?: number } = {},
): Promise<string> {
  const source = (async function* () {
    for (const chunk of chunks) yield await Promise.resolve(Buffer.from(chunk));
  })();
  const out: Buffer[] = [];
  const reading = {
    limit: 1_000,
    ...options,
    rewrite: (data: string) => Promise.resolve(rewrite(data)),
  };
  for await (const bytes of rewriteEvents(source, reading)) out.push(bytes);
  return Buffer.concat(out).toString('utf8');
}

describe('events on their way', () => {
  it('are read the same however their bytes are cut, and whatever ends their lines', async () => {
    const stream = ['id: 1', 'data: é1', 'data:2', '', ': note', '', 'event: x', 'data', '', ''];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('\n', '\r\n', '\r'),
        fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 8 }),
        async (end, cuts) => {
          const bytes = Buffer.from(stream.join(end));
          const at = [0, ...cuts.filter((cut) => cut < bytes.length), bytes.length].sort(
            (a, b) => a - b,
          );
          const chunks = at.slice(1).map((to, n) => bytes.subarray(at[n], to));
          const seen: string[] = [];
          await through(chunks, (data) => void seen.push(data));
          expect(seen).toEqual(['é1\n2', '']);
        },
      ),
    );
  });

  it('keep their other fields when their data is rewritten', async () => {
    expect(await through(['id: 1\r\ndata: a\r\ndata: b\r\nretry: 5\r\n\r\n'], () => 'c')).toBe(
      'id: 1\nretry: 5\ndata: c\n\n',
    );
  });

  it('are found behind a byte order mark, which their reader passes over', async () => {
    expect(await through(['\ufeffdata: a\n\n'], () => 'b')).toBe('data: b\n\n');
  });

  it('go on unread without the bytes that are looked for, and when they are too long', async () => {
    const long = `data: ${'x'.repeat(50)}"taskId"\n\n`;
    const rewrite = (): string => 'read';
    const options = { only: '"taskId"', limit: 40 };
    expect(
      await through(
        ['data: a\n\n', long.slice(0, 45), long.slice(45), 'data: "taskId"\n\n'],
        rewrite,
        options,
      ),
    ).toBe(`data: a\n\n${long}data: read\n\n`);
  });

  it('end the stream when they are too long and must be read', async () => {
    await expect(
      through([`data: ${'x'.repeat(50)}`, '\n\n'], () => 'read', { limit: 40 }),
    ).rejects.toThrow('too long');
  });

  it('without an end go to nobody, since nobody has looked at them', async () => {
    expect(await through(['data: a\n\ndata: tools'], () => undefined)).toBe('data: a\n\n');
  });
});
