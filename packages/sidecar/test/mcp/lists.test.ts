import type { ServerResponse } from 'node:http';
import { eventually } from '../../../../test/support/eventually';
import { EventReader } from '../support/event-reader';
import { postMessage } from '../support/post-message';
import { RawUpstream } from '../support/raw-upstream';
import { sidecarBefore, type SidecarUnderTest } from '../support/sidecar-under-test';

const TOOLS = [{ name: 'get_file' }, { name: 'push' }, { name: 'resource:passes-for' }, { no: 1 }];
const LIST = { jsonrpc: '2.0', id: 3, method: 'tools/list' };
const RESULT = { jsonrpc: '2.0', id: 3, result: { tools: TOOLS, nextCursor: 'more' } };
const JSON_TYPE = { 'content-type': 'application/json' };
const EVENTS = { 'content-type': 'text/event-stream' };

describe('the lists of an MCP server', () => {
  let raw: RawUpstream;
  let under: SidecarUnderTest;
  let url: string;
  /** What the upstream does with the next request. */
  let answer: (response: ServerResponse) => void;

  beforeAll(async () => {
    raw = await RawUpstream.start((request, response) => {
      request.resume();
      request.on('end', () => answer(response));
    });
    under = await sidecarBefore(
      { raw: raw.url, plain: raw.url, hinted: { url: raw.url, trustHints: true, tools: [RULE] } },
      { limits: { bodyBytes: 64 * 1_024, eventBytes: 1_024 } },
    );
    url = `${under.url}/raw`;
  });
  afterAll(async () => {
    await under.sidecar.close();
    await raw.close();
  });
  const RULE = { match: 'delete_*', effect: 'write' } as const;

  const reply = (result: object, id: unknown = 3): void => {
    const body = JSON.stringify({ jsonrpc: '2.0', id, result });
    answer = (response) => response.writeHead(200, JSON_TYPE).end(body);
  };
  const listed = async (token: string, method: string, at = url): Promise<unknown> => {
    const response = await postMessage(at, token, { ...LIST, method });
    return ((await response.json()) as { result: unknown }).result;
  };

  it('hold what the agent may call, with whatever else the reply says, and nothing that passes for another kind', async () => {
    reply(RESULT.result);
    const reader = under.enforcer.agent('reader', ['tool:raw/get_*', 'tool:raw/resource:*']);
    expect(await listed(reader, 'tools/list')).toEqual({
      tools: [{ name: 'get_file' }],
      nextCursor: 'more',
    });
    const all = under.enforcer.agent('all', ['tool:raw/*']);
    expect(await listed(all, 'tools/list')).toMatchObject({
      tools: [{ name: 'get_file' }, { name: 'push' }],
    });
  });

  it('hold resources, templates and prompts by the same scopes', async () => {
    const token = under.enforcer.agent('librarian', [
      'tool:raw/resource:demo://open/*',
      'tool:raw/prompt:review',
    ]);
    reply({
      resources: [{ uri: 'demo://open/a' }, { uri: 'demo://shut/b' }, { uri: 'demo://open/../c' }],
    });
    expect(await listed(token, 'resources/list')).toEqual({
      resources: [{ uri: 'demo://open/a' }],
    });
    reply({
      resourceTemplates: [
        { uriTemplate: 'demo://{any}' },
        { uriTemplate: 'demo://open/{id}' },
        { uriTemplate: 'demo://shut/{id}' },
      ],
    });
    expect(await listed(token, 'resources/templates/list')).toEqual({
      resourceTemplates: [{ uriTemplate: 'demo://{any}' }, { uriTemplate: 'demo://open/{id}' }],
    });
    reply({ prompts: [{ name: 'review' }, { name: 'other' }] });
    expect(await listed(token, 'prompts/list')).toEqual({ prompts: [{ name: 'review' }] });
  });

  it('leave out what is suspended', async () => {
    reply(RESULT.result);
    under.enforcer.suspend('tool:raw/push');
    const token = under.enforcer.agent('after', ['tool:raw/*']);
    expect(await listed(token, 'tools/list')).toMatchObject({ tools: [{ name: 'get_file' }] });
  });

  it('are found in streams of events, between events that go on as they came', async () => {
    const progress = { jsonrpc: '2.0', method: 'notifications/progress', params: { progress: 1 } };
    const head = `: hello\n\nid: 1\ndata:${JSON.stringify(progress)}\n\n`;
    const text = JSON.stringify(RESULT, null, 1);
    answer = (response) => {
      response.writeHead(200, EVENTS).write(head);
      const data = text.split('\n').map((line) => `data: ${line}\r\n`);
      response.end(`event: message\r\nid: 2\r\n${data.join('')}\r\n`);
    };
    const token = under.enforcer.agent('streamer', ['tool:raw/get_file']);
    const reader = new EventReader(await postMessage(url, token, LIST));
    expect(await reader.end).toBe('ended');
    expect(reader.text.startsWith(head)).toBe(true);
    expect(reader.text.slice(head.length)).toContain('event: message\nid: 2\ndata: ');
    expect(reader.events.at(-1)).toEqual({
      ...RESULT,
      result: { tools: [{ name: 'get_file' }], nextCursor: 'more' },
    });
  });

  it.each([
    ['no JSON', 'hello'],
    ['no message', '[1]'],
    ['a batch', JSON.stringify([RESULT])],
    ['no list', '{"jsonrpc":"2.0","id":3,"result":{}}'],
    ['a list that is none', '{"jsonrpc":"2.0","id":3,"result":{"tools":{"0":{"name":"push"}}}}'],
    ['more than is looked at', JSON.stringify({ ...RESULT, pad: 'x'.repeat(512 * 1_024) })],
  ])('are refused when what comes for one is %s', async (_what, body) => {
    const token = under.enforcer.agent('strict', ['tool:raw/get_file']);
    answer = (response) => response.writeHead(200, JSON_TYPE).end(body);
    const response = await postMessage(url, token, LIST);
    expect(response.status).toBe(502);
    expect(await response.json()).toMatchObject({
      id: 3,
      error: { code: -32603, data: { code: 'upstream_unreachable' } },
    });
    answer = (streamed) => streamed.writeHead(200, EVENTS).end(`data: ${body}\n\n`);
    const reader = new EventReader(await postMessage(url, token, LIST));
    expect(await reader.end).toBe('broken');
    expect(reader.text).toBe('');
  });

  it('go on when they are an error, which holds no list', async () => {
    const error = { jsonrpc: '2.0', id: 3, error: { code: -32601, message: 'no such method' } };
    answer = (response) => response.writeHead(200, JSON_TYPE).end(JSON.stringify(error));
    const token = under.enforcer.agent('asker', []);
    expect(await (await postMessage(url, token, LIST)).json()).toEqual(error);
  });

  it('are looked for on a stream that listens, whoever asked for them', async () => {
    answer = (response) => {
      response.writeHead(200, EVENTS);
      response.end(`data: ${JSON.stringify({ ...RESULT, id: 'asked before' })}\n\n`);
    };
    const token = under.enforcer.agent('resumer', ['tool:raw/get_file']);
    const headers = { accept: 'text/event-stream', authorization: `Bearer ${token}` };
    const reader = new EventReader(await fetch(url, { headers }));
    expect(await reader.end).toBe('ended');
    expect(reader.events).toEqual([
      {
        ...RESULT,
        id: 'asked before',
        result: { ...RESULT.result, tools: [{ name: 'get_file' }] },
      },
    ]);
  });

  it('teach which tools only read where the config trusts them, and its own word counts first', async () => {
    const tools = [
      { name: 'get_file', annotations: { readOnlyHint: true } },
      { name: 'push' },
      { name: 'delete_file', annotations: { readOnlyHint: true } },
    ];
    reply({ tools });
    const token = under.enforcer.agent('hinted', ['tool:hinted/*', 'tool:plain/*']);
    const effects = async (at: string): Promise<unknown[]> => {
      await listed(token, 'tools/list', `${under.url}/${at}`);
      const seen: unknown[] = [];
      for (const { name } of tools) {
        answer = (response) => {
          seen.push([...under.enforcer.calls].map((call) => call.context.effect).at(-1));
          response.writeHead(200, JSON_TYPE).end('{"jsonrpc":"2.0","id":1,"result":{}}');
        };
        const call = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name } };
        await (await postMessage(`${under.url}/${at}`, token, call)).text();
        await eventually(() => expect(under.enforcer.calls.size).toBe(0));
      }
      reply({ tools });
      return seen;
    };
    expect(await effects('hinted')).toEqual(['read', 'write', 'write']);
    expect(await effects('plain')).toEqual(['write', 'write', 'write']);
  });
});
