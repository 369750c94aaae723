import type { IncomingMessage, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Client } from '@modelcontextprotocol/sdk/client/index.js';
import {
  CallToolResultSchema,
  CancelTaskResultSchema,
  CreateTaskResultSchema,
  GetTaskResultSchema,
  ListTasksResultSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { eventually } from '../../../../test/support/eventually';
import { agentClient } from '../support/agent-client';
import { postMessage, toolCall } from '../support/post-message';
import { RawUpstream } from '../support/raw-upstream';
import { startReferenceServer, type ReferenceServer } from '../support/reference-server';
import { sidecarBefore, type SidecarUnderTest } from '../support/sidecar-under-test';

const RESEARCH = 'simulate-research-query';

describe('tasks on the MCP reference server', () => {
  let server: ReferenceServer;
  let under: SidecarUnderTest;
  let url: string;

  beforeAll(async () => {
    server = await startReferenceServer();
    under = await sidecarBefore({ everything: server.url });
    url = `${under.url}/everything`;
  });
  afterAll(async () => {
    await under.sidecar.close();
    await server.close();
  });

  const client = async (id: string): Promise<Client> =>
    await agentClient(url, under.enforcer.agent(id, ['tool:everything/*']));
  const begin = async (by: Client): Promise<string> => {
    const params = { name: RESEARCH, arguments: { topic: 'rivers' }, task: { ttl: 60_000 } };
    const { task } = await by.request({ method: 'tools/call', params }, CreateTaskResultSchema);
    return task.taskId;
  };
  const get = async (by: Client, taskId: string) =>
    await by.request({ method: 'tasks/get', params: { taskId } }, GetTaskResultSchema);

  it("are their agent's: it asks for them, lists and cancels them", async () => {
    const owner = await client('owner');
    const [taskId, second] = [await begin(owner), await begin(owner)];
    expect((await get(owner, taskId)).status).toBe('working');
    const { tasks } = await owner.request({ method: 'tasks/list' }, ListTasksResultSchema);
    expect(tasks.map((task) => task.taskId).sort()).toEqual([taskId, second].sort());
    const cancel = { method: 'tasks/cancel', params: { taskId } };
    expect((await owner.request(cancel, CancelTaskResultSchema)).status).toBe('cancelled');
    await owner.close();
  });

  it("are cancelled at their agent's kill, while a neighbour's comes to its result", async () => {
    const [doomed, neighbour] = [await client('doomed'), await client('neighbour')];
    await begin(doomed);
    const taskId = await begin(neighbour);
    under.enforcer.kill('doomed');
    await eventually(async () =>
      expect(await (await fetch(`${under.url}/metrics`)).text()).toContain(
        'sever_sidecar_left_open_total{what="task",outcome="ended"} 1',
      ),
    );
    expect((await get(neighbour, taskId)).status).toBe('working');
    const result = { method: 'tasks/result', params: { taskId } };
    const { content } = await neighbour.request(result, CallToolResultSchema);
    expect(JSON.stringify(content)).toContain('rivers');
    await Promise.all([doomed.close(), neighbour.close()]);
  });
});

describe('tasks on an upstream that tells all', () => {
  let raw: RawUpstream;
  let under: SidecarUnderTest;
  let url: string;
  let seen: { readonly what: string; readonly taskId: unknown; readonly session: unknown }[];
  let deaf: boolean;

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    const { id, method, params } = (body === '' ? {} : JSON.parse(body)) as {
      id?: unknown;
      method?: string;
      params?: { taskId?: string; name?: string };
    };
    const session = request.headers['mcp-session-id'];
    seen.push({ what: method ?? request.method ?? '', taskId: params?.taskId, session });
    if (method === 'tasks/cancel' && deaf) return;
    const headers = { 'content-type': 'application/json', 'mcp-session-id': session ?? 's1' };
    const task = { taskId: `task of ${params?.name}`, status: 'working' };
    const result = method === 'tools/call' ? { task } : { tasks: [task, { taskId: 'foreign' }] };
    const isStateless = method !== 'tools/call' || params?.name === 'modern';
    response.writeHead(200, isStateless ? { 'content-type': 'application/json' } : headers).end(
      JSON.stringify({
        ...{ jsonrpc: '2.0', id },
        result: params?.name === 'modern' ? { resultType: 'task', ...task } : result,
      }),
    );
  }

  beforeEach(async () => {
    seen = [];
    deaf = false;
    raw = await RawUpstream.start((request, response) => void answer(request, response));
    under = await sidecarBefore({
      raw: { url: raw.url, credential: { header: 'x-key', value: 'of-the-upstream' } },
    });
    url = `${under.url}/raw`;
  });
  afterEach(async () => {
    await under.sidecar.close();
    await raw.close();
  });

  const agent = (id: string): string => under.enforcer.agent(id, ['tool:raw/*']);
  const about = (method: string, taskId: string): object => ({
    ...{ jsonrpc: '2.0', id: 9, method },
    params: { taskId },
  });
  const begun = async (token: string, name: string, headers = {}): Promise<string> => {
    const response = await postMessage(url, token, toolCall(1, name), headers);
    await response.text();
    return `task of ${name}`;
  };

  it.each(['tasks/get', 'tasks/result', 'tasks/update', 'tasks/cancel'])(
    "do not exist for another agent's %s",
    async (method) => {
      const [owner, other] = [agent('owner'), agent('other')];
      const taskId = await begun(owner, 'work');
      const before = seen.length;
      const refused = await postMessage(url, other, about(method, taskId));
      expect(refused.status).toBe(400);
      expect(await refused.json()).toMatchObject({ id: 9, error: { code: -32602 } });
      expect(seen).toHaveLength(before);
      expect((await postMessage(url, owner, about(method, taskId))).status).toBe(200);
    },
  );

  it("are left out of another agent's list", async () => {
    const owner = agent('owner');
    await begun(owner, 'undefined');
    const list = async (token: string): Promise<unknown> => {
      const message = { jsonrpc: '2.0', id: 2, method: 'tasks/list' };
      return ((await (await postMessage(url, token, message)).json()) as { result: unknown })
        .result;
    };
    expect(await list(owner)).toMatchObject({ tasks: [{ taskId: 'task of undefined' }] });
    expect(await list(agent('other'))).toEqual({ tasks: [] });
  });

  it('are served to neither of two agents to whom the upstream gives one session', async () => {
    await begun(agent('owner'), 'work');
    const second = await postMessage(url, agent('other'), toolCall(1, 'work'));
    expect(second.status).toBe(502);
    expect(await second.text()).not.toContain('task of work');
  });

  it('give no result once their tool is suspended, and can still be cancelled', async () => {
    const owner = agent('owner');
    const taskId = await begun(owner, 'work');
    under.enforcer.suspend('tool:raw/work');
    expect((await postMessage(url, owner, about('tasks/result', taskId))).status).toBe(403);
    expect((await postMessage(url, owner, about('tasks/cancel', taskId))).status).toBe(200);
  });

  it('are cancelled in their session before it is ended', async () => {
    const token = agent('doomed');
    await begun(token, 'first');
    await begun(token, 'work', { 'mcp-session-id': 's1' });
    seen = [];
    under.enforcer.kill('doomed');
    await eventually(() => expect(seen.map(({ what }) => what)).toContain('DELETE'));
    const inSession = seen.filter(({ session }) => session === 's1');
    expect(inSession).toEqual([
      { what: 'tasks/cancel', taskId: 'task of work', session: 's1' },
      { what: 'DELETE', taskId: undefined, session: 's1' },
    ]);
  });

  it('are cancelled before their agent ends the session itself, after which nobody could', async () => {
    const token = agent('leaver');
    await begun(token, 'first');
    await begun(token, 'work', { 'mcp-session-id': 's1' });
    seen = [];
    const headers = { authorization: `Bearer ${token}`, 'mcp-session-id': 's1' };
    expect((await fetch(url, { method: 'DELETE', headers })).status).toBe(200);
    expect(seen.map(({ what }) => what)).toEqual(['tasks/cancel', 'DELETE']);
  });

  it('are cancelled without a session where the protocol has none, as servers begin them unasked', async () => {
    const headers = {
      'mcp-protocol-version': '2026-07-28',
      ...{ 'mcp-method': 'tools/call', 'mcp-name': 'modern' },
    };
    await begun(agent('doomed'), 'modern', headers);
    seen = [];
    under.enforcer.kill('doomed');
    await eventually(() =>
      expect(seen).toEqual([
        { what: 'tasks/cancel', taskId: 'task of modern', session: undefined },
      ]),
    );
  });

  it('of one agent that cannot be cancelled hold up neither the stop of the sidecar nor others', async () => {
    deaf = true;
    await begun(agent('doomed'), 'work');
    under.enforcer.kill('doomed');
    await eventually(() => expect(seen.map(({ what }) => what)).toContain('tasks/cancel'));
    const other = await postMessage(url, agent('other'), toolCall(1, 'modern'));
    expect(other.status).toBe(200);
    const before = performance.now();
    await under.sidecar.close();
    expect(performance.now() - before).toBeLessThan(4_000);
    expect(under.logged).toContain('what an agent left open goes on');
  });
});
