import { eventually } from '../../../../test/support/eventually';
import { agentClient } from '../support/agent-client';
import { JSON_RPC, postMessage } from '../support/post-message';
import { sidecarBefore, type SidecarUnderTest } from '../support/sidecar-under-test';
import { ToolServer } from '../support/tool-server';

const INITIALIZE = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'by-hand', version: '1' },
  },
};
const PING = { jsonrpc: '2.0', id: 2, method: 'ping' };

describe("an upstream's session", () => {
  let tools: ToolServer;
  let under: SidecarUnderTest;
  let url: string;

  beforeEach(async () => {
    tools = await ToolServer.start();
    under = await sidecarBefore({ tools: tools.url });
    url = `${under.url}/tools`;
  });
  afterEach(async () => {
    await under.sidecar.close();
    await tools.close();
  });

  async function opened(token: string, at = url): Promise<string> {
    const response = await postMessage(at, token, INITIALIZE);
    await response.text();
    const session = response.headers.get('mcp-session-id');
    if (session === null) throw new Error(`no session: ${response.status}`);
    return session;
  }

  const ping = async (token: string, session: string, at = url): Promise<number> => {
    const response = await postMessage(at, token, PING, { 'mcp-session-id': session });
    await response.text();
    return response.status;
  };

  it.each(['POST', 'GET', 'DELETE'])(
    'is unknown to every other agent by %s, and goes on for its own',
    async (method) => {
      const owner = under.enforcer.agent('owner', ['tool:*']);
      const other = under.enforcer.agent('other', ['tool:*']);
      const session = await opened(owner);
      const before = tools.seen.length;
      const headers = { ...JSON_RPC, 'mcp-session-id': session, authorization: `Bearer ${other}` };
      const body = method === 'POST' ? JSON.stringify(PING) : null;
      const response = await fetch(url, { method, headers, body });
      expect(response.status).toBe(404);
      expect(await response.json()).toMatchObject({ error: { data: { code: 'not_found' } } });
      expect(tools.seen).toHaveLength(before);
      expect(await ping(owner, session)).toBe(200);
    },
  );

  it('that was made up, or belongs to a sidecar that has started anew, is unknown', async () => {
    const owner = under.enforcer.agent('owner', []);
    const session = await opened(owner);
    expect(await ping(owner, 'made-up')).toBe(404);
    const anew = await sidecarBefore({ tools: tools.url });
    expect(await ping(anew.enforcer.agent('owner', []), session, `${anew.url}/tools`)).toBe(404);
    await anew.sidecar.close();
  });

  it('is over once its agent has ended it', async () => {
    const owner = under.enforcer.agent('owner', []);
    const [session, second] = [await opened(owner), await opened(owner)];
    const headers = { 'mcp-session-id': session, authorization: `Bearer ${owner}` };
    expect((await fetch(url, { method: 'DELETE', headers })).status).toBe(200);
    const before = tools.seen.length;
    expect(await ping(owner, session)).toBe(404);
    expect(tools.seen).toHaveLength(before);
    expect(await ping(owner, second)).toBe(200);
  });

  it("is ended upstream at its agent's kill, and a neighbour's is not", async () => {
    const doomed = await agentClient(url, under.enforcer.agent('doomed', []));
    const neighbour = await agentClient(url, under.enforcer.agent('neighbour', []));
    under.enforcer.kill('doomed');
    await eventually(() =>
      expect(tools.seen.filter(({ method }) => method === 'DELETE')).toHaveLength(1),
    );
    await neighbour.ping();
    expect(await (await fetch(`${under.url}/metrics`)).text()).toContain(
      'sever_sidecar_left_open_total{what="session",outcome="ended"} 1',
    );
    await Promise.all([doomed.close(), neighbour.close()]);
  });

  it('is asked for by whoever wants to go on with a stream', async () => {
    const token = under.enforcer.agent('resumer', []);
    const headers = { accept: 'text/event-stream', authorization: `Bearer ${token}` };
    const response = await fetch(url, { headers: { ...headers, 'last-event-id': '7' } });
    expect(response.status).toBe(400);
    expect(tools.seen).toHaveLength(0);
  });
});

describe('the revision of the protocol', () => {
  let tools: ToolServer;
  let under: SidecarUnderTest;
  let token: string;

  beforeAll(async () => {
    tools = await ToolServer.start();
    under = await sidecarBefore({ tools: tools.url });
    token = under.enforcer.agent('client', ['tool:tools/add']);
  });
  afterAll(async () => {
    await under.sidecar.close();
    await tools.close();
  });

  const send = async (message: object, headers: Record<string, string>) => {
    const from = tools.seen.length;
    const response = await postMessage(`${under.url}/tools`, token, message, headers);
    const body = (await response.json().catch(() => undefined)) as
      { error?: { code: number } } | undefined;
    const wentOn = tools.seen.length > from;
    return { status: response.status, code: body?.error?.code, wentOn };
  };
  const meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' };
  const call = (_meta?: object) => ({
    ...{ jsonrpc: '2.0', id: 1, method: 'tools/call' },
    params: { name: 'add', arguments: {}, ...(_meta && { _meta }) },
  });

  it.each(['1900-01-01', '2024-11-05', 'banana', '2025-11-25, 2025-06-18'])(
    'is refused when it is none that is served: %s',
    async (version) => {
      const refused = { status: 400, code: -32022, wentOn: false };
      expect(await send(PING, { 'mcp-protocol-version': version })).toEqual(refused);
    },
  );

  it.each(['2025-06-18', '2025-11-25'])('may be %s', async (version) => {
    expect(await send(PING, { 'mcp-protocol-version': version })).toMatchObject({ wentOn: true });
  });

  const modern = { 'mcp-protocol-version': '2026-07-28' };
  it.each([
    ['no method', call(meta), { ...modern, 'mcp-name': 'add' }],
    ['no name', call(meta), { ...modern, 'mcp-method': 'tools/call' }],
    ['another name', call(meta), { ...modern, 'mcp-method': 'tools/call', 'mcp-name': 'tick' }],
    [
      'another name in base64',
      call(meta),
      { ...modern, 'mcp-method': 'tools/call', 'mcp-name': '=?base64?dGljaw==?=' },
    ],
    ['a name where the body has none', PING, { 'mcp-name': 'add' }],
    ['another revision than the body', call(meta), { 'mcp-protocol-version': '2025-11-25' }],
    ['no revision where the body has one', call(meta), {}],
  ])('with headers that say %s is refused', async (_what, message, headers) => {
    expect(await send(message, headers)).toEqual({ status: 400, code: -32020, wentOn: false });
  });

  it.each(['add', '=?base64?YWRk?='])(
    'with headers that say the same goes on: %s',
    async (name) => {
      const headers = { ...modern, 'mcp-method': 'tools/call', 'mcp-name': name };
      expect(await send(call(meta), headers)).toMatchObject({ wentOn: true });
    },
  );
});
