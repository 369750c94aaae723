import { ProblemError } from '@sever/protocol';
import fc from 'fast-check';
import { hasDuplicateKey } from '../../src/json/duplicate-keys';
import { idIn, readMessage } from '../../src/mcp/message';

const read = (text: string) => readMessage(Buffer.from(text));

describe('reading a message', () => {
  it('knows a request, its id and the tool that it calls', () => {
    const params = { name: 'add', arguments: { name: 'not the tool' } };
    expect(read(JSON.stringify({ jsonrpc: '2.0', id: 'a', method: 'tools/call', params }))).toEqual(
      { id: 'a', method: 'tools/call', tool: 'add' },
    );
  });

  it('knows a notification and a reply, which have no id that an error could answer', () => {
    expect(read('{"jsonrpc":"2.0","method":"notifications/initialized"}')).toEqual({
      id: undefined,
      method: 'notifications/initialized',
      tool: undefined,
    });
    expect(read('{"jsonrpc":"2.0","id":4,"result":{}}')).toEqual({
      id: undefined,
      method: undefined,
      tool: undefined,
    });
  });

  it.each([
    ['bytes that are no UTF-8', Buffer.from([0x22, 0xff, 0x22])],
    ['a byte order mark', Buffer.from('\ufeff{"jsonrpc":"2.0","id":1,"method":"ping"}')],
    ['an id that is null', Buffer.from('{"jsonrpc":"2.0","id":null,"method":"ping"}')],
    [
      'a key that is spelt once plainly and once escaped',
      Buffer.from('{"jsonrpc":"2.0","id":1,"method":"ping","\\u006dethod":"tools/call"}'),
    ],
    [
      'a tool named twice',
      Buffer.from(
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}',
      ),
    ],
    [
      'a tool without a name',
      Buffer.from('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":""}}'),
    ],
    ['nothing', Buffer.alloc(0)],
  ])('refuses %s', (_what, body) => {
    expect(() => readMessage(body)).toThrow(ProblemError);
    expect(idIn(body)).toBeUndefined();
  });
});

describe('a duplicate key', () => {
  it('is found at any depth and in any spelling', () => {
    expect(hasDuplicateKey('{"a":1,"b":{"c":[{"d":1,"e":2,"d":3}]}}')).toBe(true);
    expect(hasDuplicateKey('{"a\\u0062":1, "ab" : 2}')).toBe(true);
  });

  it('is not seen in what only looks like one', () => {
    expect(hasDuplicateKey('{"a":"a","b":["a","a"],"c":{"a":1},"d":{"a":"\\"a\\":1"}}')).toBe(
      false,
    );
    expect(hasDuplicateKey('["a",{"a":1},{"a":1},"{\\"a\\":1,\\"a\\":2}"]')).toBe(false);
  });

  it('is never seen in what JSON.stringify wrote, and always when a key is written again', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 }), (object) => {
        const text = JSON.stringify(object);
        expect(hasDuplicateKey(text)).toBe(false);
        const [key] = Object.keys(object);
        expect(hasDuplicateKey(`${text.slice(0, -1)},${JSON.stringify(key)}:0}`)).toBe(true);
      }),
    );
  });
});
