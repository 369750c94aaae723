import { ProblemError } from '@sever/protocol';
import fc from 'fast-check';
import { hasDuplicateKey } from '../../src/json/duplicate-keys';
import { idIn, readMessage } from '../../src/mcp/message';

const read = (text: string) => readMessage(Buffer.from(text));

describe('reading a message', () => {
  it('knows a request, its id and the tool that it calls', () => {
    const params = { name: 'add', arguments: { name: 'not the tool' } };
    expect(
      read(JSON.stringify({ jsonrpc: '2.0', id: 'a', method: 'tools/call', params })),
    ).toMatchObject({
      ...{ id: 'a', method: 'tools/call', name: 'add' },
      called: [{ kind: 'tool', name: 'add' }],
    });
  });

  it('knows a notification and a reply, which have no id that an error could answer', () => {
    expect(read('{"jsonrpc":"2.0","method":"notifications/initialized"}')).toMatchObject({
      id: undefined,
      method: 'notifications/initialized',
      called: [],
    });
    expect(read('{"jsonrpc":"2.0","id":4,"result":{}}')).toMatchObject({
      id: undefined,
      method: undefined,
      called: [],
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
    ['nothing', Buffer.alloc(0)],
  ])('refuses %s', (_what, body) => {
    expect(() => readMessage(body)).toThrow(ProblemError);
    expect(idIn(body)).toBeUndefined();
  });
});

const request = (method: string, params?: object) =>
  read(JSON.stringify({ jsonrpc: '2.0', id: 7, method, params }));

describe('what a message takes authority over', () => {
  const uri = 'demo://resource/static/guide.md';

  it.each([
    ['resources/read', { uri }, { kind: 'resource', name: uri }],
    ['resources/subscribe', { uri }, { kind: 'resource', name: uri }],
    ['resources/unsubscribe', { uri }, { kind: 'resource', name: uri }],
    ['prompts/get', { name: 'review' }, { kind: 'prompt', name: 'review' }],
    [
      'completion/complete',
      { ref: { type: 'ref/prompt', name: 'review' }, argument: { name: 'a', value: '' } },
      { kind: 'prompt', name: 'review' },
    ],
    [
      'completion/complete',
      { ref: { type: 'ref/resource', uri: 'demo://{id}' }, argument: { name: 'a', value: '' } },
      { kind: 'resource', name: 'demo://{id}' },
    ],
    [
      'subscriptions/listen',
      { notifications: { resourceSubscriptions: [uri] } },
      { kind: 'resource', name: uri },
    ],
    ['vendor/do-it', {}, { kind: 'method', name: 'vendor/do-it' }],
  ])('%s %j', (method, params, called) => {
    expect(request(method, params).called).toEqual([called]);
  });

  it.each([
    ...['initialize', 'ping', 'server/discover', 'logging/setLevel', 'tools/list', 'tasks/list'],
    ...['resources/list', 'resources/templates/list', 'prompts/list', 'notifications/cancelled'],
  ])('is nothing for %s', (method) => {
    expect(request(method).called).toEqual([]);
  });

  it.each(['tasks/get', 'tasks/result', 'tasks/update', 'tasks/cancel'])(
    'is the task that %s names',
    (method) => {
      expect(request(method, { taskId: 't1' })).toMatchObject({ taskIds: ['t1'], called: [] });
    },
  );

  it.each([
    ['tools/call', { name: '' }],
    ['tools/call', { name: 'x'.repeat(201) }],
    ['tools/call', { name: 'resource:file:///etc/passwd' }],
    ['tools/call', { name: 'Prompt:review' }],
    ['tools/call', { name: 'method:vendor/do-it' }],
    ['prompts/get', { name: 'a', Name: 'b' }],
    ['prompts/get', { NAME: 'a' }],
    ['resources/read', {}],
    ['resources/read', { uri: 7 }],
    ['resources/read', { uri: 'no-scheme' }],
    ['resources/read', { uri: 'FILE:///etc/hosts' }],
    ['resources/read', { uri: 'file:///open/../secret' }],
    ['resources/read', { uri: 'file:///open/%2e%2e/secret' }],
    ['resources/read', { uri: 'file:///open/%252e%252e/secret' }],
    ['resources/read', { uri: 'file:///open/..%2Fsecret' }],
    ['resources/read', { uri: 'file:///open/..\\secret' }],
    ['resources/read', { uri: 'file:///%73ecret' }],
    ['resources/read', { uri: 'file:///a b' }],
    ['resources/read', { uri: `file:///${'x'.repeat(2_048)}` }],
    ['resources/read', { uri, Uri: 'file:///secret' }],
    ['completion/complete', { ref: { type: 'ref/other', name: 'a' } }],
    ['subscriptions/listen', { notifications: { resourceSubscriptions: Array(65).fill(uri) } }],
    ['tasks/get', {}],
    ['tasks/get', { taskId: 't1', ['tas\u212aId']: 't2' }],
  ])('is refused where it could be read as another: %s %j', (method, params) => {
    expect(() => request(method, params)).toThrow(ProblemError);
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
