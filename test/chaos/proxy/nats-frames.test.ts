import fc from 'fast-check';
import { matches, NatsFrames, NotNatsError, withPayload, type Frame } from './nats-frames';

const binary = Buffer.from([0, 13, 10, 255, 13, 10, 80, 73, 78, 71, 13, 10, 128]);
const pub = (size: number): Buffer => Buffer.from(`PUB a.b ${size}\r\n`);
const lineEnd = Buffer.from('\r\n');

/** Every form that the two sides send, with payloads that look like frames themselves. */
const TRAFFIC = Buffer.concat([
  Buffer.from('INFO {"server_id":"x y","max_payload":1048576}\r\n'),
  Buffer.from('CONNECT {"name":"ep_1","verbose":false}\r\nPING\r\nPONG\r\n+OK\r\n'),
  Buffer.from("-ERR 'Permissions Violation'\r\n"),
  Buffer.from('SUB a.> 7\r\nSUB a.b group 8\r\nUNSUB 7 3\r\n'),
  ...[pub(binary.length), binary, lineEnd],
  ...[pub(0), lineEnd],
  ...[Buffer.from(`pub a.b inbox.1 ${binary.length}\r\n`), binary, lineEnd],
  ...[Buffer.from('HPUB a.b inbox.2 12 17\r\nNATS/1.0\r\n\r\nhello\r\n')],
  ...[Buffer.from(`MSG a.b 7 ${binary.length}\r\n`), binary, lineEnd],
  ...[Buffer.from('MSG a.b 7 inbox.3 5\r\nhello\r\n')],
  ...[Buffer.from('HMSG a.b 7 16 16\r\nNATS/1.0 503\r\n\r\n\r\n')],
  ...[Buffer.from('HMSG a.b 7 inbox.4 12 14\r\nNATS/1.0\r\n\r\nhi\r\n')],
]);

function read(chunks: readonly Uint8Array[]): { frames: Frame[]; waiting: number } {
  const parser = new NatsFrames();
  const frames = chunks.flatMap((chunk) => parser.push(chunk));
  return { frames, waiting: parser.waiting };
}

describe('the reader of NATS frames', () => {
  it('reads every form: where it goes, who answers, and what it carries', () => {
    const { frames } = read([TRAFFIC]);
    expect(frames.map(({ op }) => op).join(' ')).toBe(
      'INFO CONNECT PING PONG +OK -ERR SUB SUB UNSUB PUB PUB PUB HPUB MSG MSG HMSG HMSG',
    );
    expect(JSON.parse(frames[1]?.words[0] ?? '')).toMatchObject({ name: 'ep_1' });
    expect(frames.slice(6, 9)).toMatchObject([
      { subject: 'a.>', sid: '7' },
      { subject: 'a.b', sid: '8' },
      { sid: '7' },
    ]);
    expect(frames[9]).toMatchObject({ subject: 'a.b', payload: binary });
    expect(frames[10]?.payload).toHaveLength(0);
    expect(frames[11]).toMatchObject({ op: 'PUB', reply: 'inbox.1', payload: binary });
    expect(frames[12]).toMatchObject({ reply: 'inbox.2', payload: Buffer.from('hello') });
    expect(frames[13]).toMatchObject({ sid: '7', payload: binary });
    expect(frames[13]?.reply).toBeUndefined();
    expect(frames[14]).toMatchObject({ sid: '7', reply: 'inbox.3' });
    expect(frames[15]?.header?.toString()).toContain('503');
    expect(frames[16]).toMatchObject({ reply: 'inbox.4', payload: Buffer.from('hi') });
  });

  it('reads the same from any way of splitting and gluing, and keeps every byte', () => {
    const whole = read([TRAFFIC]).frames;
    expect(Buffer.concat(whole.map(({ raw }) => raw)).equals(TRAFFIC)).toBe(true);
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: TRAFFIC.length }), { maxLength: 40 }),
        (cuts) => {
          const places = [0, ...cuts.sort((a, b) => a - b), TRAFFIC.length];
          const chunks = places.slice(1).map((to, at) => TRAFFIC.subarray(places[at], to));
          const { frames, waiting } = read(chunks);
          expect(frames).toEqual(whole);
          expect(waiting).toBe(0);
        },
      ),
      { numRuns: 200 },
    );
    const bytes = [...TRAFFIC].map((byte) => Uint8Array.of(byte));
    expect(read(bytes).frames).toEqual(whole);
  });

  it('waits for the rest of a frame, and hands out nothing of it before', () => {
    const parser = new NatsFrames();
    expect(parser.push(Buffer.from('PUB a 5\r\nhel'))).toEqual([]);
    expect(parser.waiting).toBe(12);
    expect(parser.push(Buffer.from('lo\r'))).toEqual([]);
    expect(parser.push(Buffer.from('\n'))).toMatchObject([{ payload: Buffer.from('hello') }]);
  });

  it.each([
    ['a size that is no number', 'PUB a x\r\n'],
    ['a payload that is longer than it says', 'PUB a 2\r\nhello\r\n'],
    ['words that are missing', 'MSG a 5\r\nhello\r\n'],
    ['words that are too many', 'PUB a b c 5\r\nhello\r\n'],
    ['more header than message', 'HPUB a 9 5\r\nhello\r\n'],
  ])('refuses %s', (_, text) => {
    expect(() => read([Buffer.from(text)])).toThrow(NotNatsError);
  });

  it('writes another payload into a frame so that it reads back, headers kept', () => {
    for (const frame of read([TRAFFIC]).frames.filter(({ payload }) => payload !== undefined)) {
      const changed = withPayload(frame, Buffer.from('anything\r\nelse'));
      expect(read([changed.raw]).frames).toEqual([changed]);
      expect(changed).toMatchObject({
        subject: frame.subject,
        ...(frame.sid !== undefined && { sid: frame.sid }),
        ...(frame.reply !== undefined && { reply: frame.reply }),
        ...(frame.header !== undefined && { header: frame.header }),
      });
    }
  });

  it('matches subjects as the broker does', () => {
    expect(matches('a.*.c', 'a.b.c')).toBe(true);
    expect(matches('a.>', 'a.b.c')).toBe(true);
    expect(matches('>', 'a')).toBe(true);
    expect(matches('a.*', 'a.b.c')).toBe(false);
    expect(matches('a.>', 'a')).toBe(false);
    expect(matches('a.b', 'a.bc')).toBe(false);
  });
});
