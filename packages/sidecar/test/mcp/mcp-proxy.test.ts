import { once } from 'node:events';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { agentClient } from '../support/agent-client';
import { JSON_RPC, postMessage, toolCall } from '../support/post-message';
import { RawUpstream } from '../support/raw-upstream';
import { sidecarBefore, type SidecarUnderTest } from '../support/sidecar-under-test';
import { ToolServer } from '../support/tool-server';

describe('the MCP proxy', () => {
  let tools: ToolServer;
  let under: SidecarUnderTest;
  let url: string;

  beforeAll(async () => {
    tools = await ToolServer.start();
    under = await sidecarBefore({ tools: tools.url, gone: 'http://127.0.0.1:9/mcp' });
    url = `${under.url}/tools`;
  });
  afterAll(async () => {
    await under.sidecar.close();
    await tools.close();
  });

  const LIST = { jsonrpc: '2.0', id: 5, method: 'tools/list' };

  it("relays a session of the SDK's client: tools listed, a tool called, the session ended", async () => {
    const client = await agentClient(url, under.enforcer.agent('happy', ['tool:tools/add']));
    const { tools: listed } = await client.listTools();
    expect(listed.map(({ name }) => name)).toEqual(['add']);
    const result = await client.callTool({ name: 'add', arguments: { a: 2, b: 40 } });
    expect(result.content).toEqual([{ type: 'text', text: '42' }]);
    await client.close();
  });

  it('relays progress as it comes', async () => {
    const client = await agentClient(url, under.enforcer.agent('watcher', ['tool:tools/tick']));
    const progress: number[] = [];
    const onprogress = (seen: { progress: number }): void => void progress.push(seen.progress);
    await client.callTool({ name: 'tick', arguments: { times: 4 } }, undefined, { onprogress });
    expect(progress).toEqual([1, 2, 3, 4]);
    await client.close();
  });

  it("never shows the agent's token to the upstream, wherever the agent put it, and passes the rest on", async () => {
    const token = under.enforcer.agent('leaky', ['tool:tools/*']);
    const from = tools.seen.length;
    await postMessage(url, token, toolCall(1, 'add', { a: 1, b: 1 }), {
      'x-api-key': token,
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      'last-event-id': '17',
      'mcp-protocol-version': '2025-06-18',
      'x-kept': 'yes',
    });
    const seen = tools.seen.slice(from);
    expect(seen).toHaveLength(1);
    expect(JSON.stringify(seen)).not.toContain(token);
    expect(seen[0]?.headers).toMatchObject({
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
      'last-event-id': '17',
      'mcp-protocol-version': '2025-06-18',
      'x-kept': 'yes',
    });
    expect(seen[0]?.headers).not.toHaveProperty('authorization');
  });

  it('refuses a tool call without its scope, while listing tools needs a living token alone', async () => {
    const token = under.enforcer.agent('scopeless', ['tool:tools/other', 'tool:elsewhere/*']);
    const refused = await postMessage(url, token, toolCall('call-1', 'add', { a: 1, b: 1 }));
    expect(refused.status).toBe(403);
    expect(await refused.json()).toMatchObject({
      jsonrpc: '2.0',
      id: 'call-1',
      error: { code: -32003, data: { code: 'insufficient_scope', status: 403 } },
    });
    expect(refused.headers.get('www-authenticate')).toBe(
      `Bearer resource_metadata="${under.url}/.well-known/oauth-protected-resource/tools", ` +
        'error="insufficient_scope", scope="tool:tools/add"',
    );
    const client = await agentClient(url, token);
    expect((await client.listTools()).tools).toEqual([]);
    await client.close();
  });

  it('decides upon a tool call that is dressed as a notification', async () => {
    const token = under.enforcer.agent('silent', []);
    const from = tools.seen.length;
    const notification = { ...toolCall(1, 'add'), id: undefined };
    const refused = await postMessage(url, token, notification);
    expect(refused.status).toBe(403);
    expect(await refused.json()).not.toHaveProperty('id');
    expect(tools.seen).toHaveLength(from);
  });

  it.each(['POST', 'GET', 'DELETE'])(
    'answers %s without a valid token with 401',
    async (method) => {
      for (const authorization of [undefined, 'Bearer nobody.knows.this', 'Basic dXNlcjpwYXNz']) {
        const response = await fetch(url, {
          method,
          headers: { ...JSON_RPC, ...(authorization === undefined ? {} : { authorization }) },
          ...(method === 'POST' ? { body: JSON.stringify(LIST) } : {}),
        });
        expect(response.status).toBe(401);
        expect(response.headers.get('www-authenticate')).toBe(
          `Bearer resource_metadata="${under.url}/.well-known/oauth-protected-resource/tools", error="invalid_token"`,
        );
        expect(await response.json()).toMatchObject({
          ...(method === 'POST' ? { id: 5 } : {}),
          error: { code: -32003, data: { code: 'invalid_token' } },
        });
      }
    },
  );

  it.each(['POST', 'GET', 'DELETE'])(
    'answers %s of a killed agent with 403 and the kill',
    async (method) => {
      const token = under.enforcer.agent(`dead-${method}`, ['tool:*']);
      const survivor = under.enforcer.agent(`alive-${method}`, ['tool:*']);
      under.enforcer.kill(`dead-${method}`, 'kil_1');
      const response = await fetch(url, {
        method,
        headers: { ...JSON_RPC, authorization: `Bearer ${token}` },
        ...(method === 'POST' ? { body: JSON.stringify(LIST) } : {}),
      });
      expect(response.status).toBe(403);
      expect(response.headers.has('www-authenticate')).toBe(false);
      expect(await response.json()).toMatchObject({
        error: {
          code: -32003,
          message: 'The agent was revoked',
          data: { code: 'agent_revoked', kill_id: 'kil_1', terminal: true },
        },
      });
      expect((await postMessage(url, survivor, toolCall(1, 'add'))).status).not.toBe(403);
    },
  );

  it('tells a suspended agent, a suspended tool and a lapsed lease apart', async () => {
    const token = under.enforcer.agent('waiting', ['tool:*']);
    const other = under.enforcer.agent('bystander', ['tool:*']);
    const code = async (who: string, tool: string): Promise<unknown> => {
      const response = await postMessage(url, who, toolCall(9, tool, { a: 1, b: 2 }));
      const { error } = (await response.json()) as { error: { data: { code: string } } };
      return [response.status, error.data.code, response.headers.get('retry-after')];
    };
    under.enforcer.suspend('tool:tools/frozen');
    expect(await code(other, 'frozen')).toEqual([403, 'tool_suspended', null]);
    under.enforcer.suspend('agent:waiting');
    expect(await code(token, 'add')).toEqual([403, 'agent_suspended', null]);
    under.enforcer.lapse();
    expect(await code(other, 'add')).toEqual([503, 'enforcement_stale', '1']);
    under.enforcer.recover();
  });

  it.each([
    ['a batch', [LIST, LIST], 400],
    ['a batch of one', [LIST], 400],
    ['what is no JSON', '{"jsonrpc":"2.0",', 400],
    ['what is no JSON-RPC', { hello: 'world' }, 400],
    ['an envelope with a key too many', { ...LIST, Method: 'tools/call' }, 400],
    [
      'a method named twice',
      '{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}',
      400,
    ],
    [
      'a tool named twice in two cases',
      { ...toolCall(1, 'add'), params: { name: 'add', Name: 'tick' } },
      400,
    ],
    ['a tool call without a tool', { ...toolCall(1, 'add'), params: {} }, 400],
    [
      'a message beyond the limit',
      { ...LIST, params: { pad: 'x'.repeat(4 * 1_024 * 1_024) } },
      413,
    ],
  ])('refuses %s and sends nothing to the upstream', async (_what, body, status) => {
    const from = tools.seen.length;
    const response = await postMessage(url, under.enforcer.agent('odd', ['tool:*']), body);
    expect(response.status).toBe(status);
    const code = status === 413 ? 'payload_too_large' : 'bad_request';
    expect(await response.json()).toMatchObject({ jsonrpc: '2.0', error: { data: { code } } });
    expect(tools.seen).toHaveLength(from);
  });

  it('stops reading a message that turns out beyond the limit, whatever length it announced', async () => {
    const from = tools.seen.length;
    const upload = httpRequest(url, {
      method: 'POST',
      headers: {
        ...JSON_RPC,
        authorization: `Bearer ${under.enforcer.agent('flood', ['tool:*'])}`,
      },
    });
    upload.on('error', () => undefined); // it may be cut off before it has read the answer's end
    const answered = once(upload, 'response') as Promise<[IncomingMessage]>;
    for (let sent = 0; sent < 80; sent += 1) upload.write('x'.repeat(64 * 1_024));
    const [response] = await answered;
    expect(response.statusCode).toBe(413);
    expect(response.headers.connection).toBe('close');
    response.resume();
    upload.destroy();
    expect(tools.seen).toHaveLength(from);
  });

  it('refuses a message that is not sent as JSON', async () => {
    const token = under.enforcer.agent('typist', ['tool:*']);
    const response = await postMessage(url, token, LIST, { 'content-type': 'text/plain' });
    expect(response.status).toBe(415);
  });

  it.each([
    ['mcp-method', 'tools/list'],
    ['mcp-name', 'tick'],
  ])('refuses a %s header that says something else than the body', async (header, value) => {
    const token = under.enforcer.agent('two-faced', ['tool:*']);
    const message = toolCall(1, 'add', { a: 1, b: 1 });
    expect((await postMessage(url, token, message, { [header]: value })).status).toBe(400);
    const honest = header === 'mcp-method' ? 'tools/call' : 'add';
    expect((await postMessage(url, token, message, { [header]: honest })).status).not.toBe(403);
  });

  it('takes a second Authorization header, or a token in the query, for no token', async () => {
    const token = under.enforcer.agent('twice', ['tool:*']);
    const body = JSON.stringify(LIST);
    const twice = await rawStatus(under.url, [
      'POST /tools HTTP/1.1',
      'Host: sidecar',
      'Connection: close',
      'Content-Type: application/json',
      `Authorization: Bearer ${token}`,
      'Authorization: Bearer nobody.knows.this',
      `Content-Length: ${body.length}`,
      '',
      body,
    ]);
    expect(twice).toContain('401 Unauthorized');
    const query = `${url}?access_token=${token}`;
    const inQuery = await fetch(query, { method: 'POST', headers: JSON_RPC, body });
    expect(inQuery.status).toBe(401);
    expect((await postMessage(query, token, LIST)).status).toBe(400);
  });

  it.each([
    '/tools/',
    '//tools',
    '/tools/mcp',
    '/Tools',
    '/%74ools',
    '/tools%2f',
    '/./tools',
    '/unknown',
  ])('serves nothing at %s', async (path) => {
    const from = tools.seen.length;
    const token = under.enforcer.agent('lost', ['tool:*']);
    const answer = await rawStatus(under.url, [
      `GET ${path} HTTP/1.1`,
      'Host: sidecar',
      'Connection: close',
      `Authorization: Bearer ${token}`,
      '',
      '',
    ]);
    expect(answer).toContain('404 Not Found');
    expect(answer).toContain('application/problem+json');
    expect(tools.seen).toHaveLength(from);
  });

  it('refuses other methods and names those that there are', async () => {
    const response = await fetch(url, { method: 'PUT', body: 'x' });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('GET, POST, DELETE');
    expect(await response.json()).toMatchObject({ code: 'method_not_allowed' });
  });

  it('answers for an upstream that is down, and goes on serving the others', async () => {
    const token = under.enforcer.agent('hopeful', ['tool:*']);
    const response = await postMessage(`${under.url}/gone`, token, toolCall(3, 'add'));
    expect(response.status).toBe(502);
    expect(await response.json()).toMatchObject({
      id: 3,
      error: { code: -32603, data: { code: 'upstream_unreachable' } },
    });
    expect(under.logged).toContain('The tool server gone cannot be reached');
    const client = await agentClient(url, token);
    expect((await client.listTools()).tools).not.toHaveLength(0);
    await client.close();
  });

  it('does not pass on a redirect, which would take the agent around it', async () => {
    const astray = await RawUpstream.start((_request, response) => {
      response.writeHead(307, { location: 'http://127.0.0.1:9/' }).end();
    });
    const two = await sidecarBefore({ astray: astray.url });
    const token = two.enforcer.agent('follower', ['tool:*']);
    const response = await postMessage(`${two.url}/astray`, token, LIST, {});
    expect(response.status).toBe(502);
    expect(response.headers.has('location')).toBe(false);
    await two.sidecar.close();
    await astray.close();
  });
});

/** Sends bytes as they are: `fetch` would tidy them up. */
async function rawStatus(url: string, lines: readonly string[]): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  let answer = '';
  socket.setEncoding('utf8').on('data', (text: string) => (answer += text));
  socket.write(lines.join('\r\n'));
  await once(socket, 'close');
  return answer;
}
