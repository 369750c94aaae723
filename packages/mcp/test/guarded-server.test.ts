import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import type { EnforcementPoint } from '@sever/enforcement';
import { McpGuard } from '@sever/mcp';
import type { SpawnReply } from '@sever/protocol';
import { z } from 'zod';
import { startTestControlPlane, type TestControlPlane } from '../../../test/support/control-plane';
import { connectPoint } from '../../../test/support/enforcement-point';
import { eventually } from '../../../test/support/eventually';

describe('an MCP server with the middleware', () => {
  let plane: TestControlPlane;
  let point: EnforcementPoint;
  let http: HttpServer;
  let url: string;
  let running = 0;
  let stopped = 0;
  const release: (() => void)[] = [];
  const sessions = new Map<string, StreamableHTTPServerTransport>();
  const clients: Client[] = [];

  beforeAll(async () => {
    plane = await startTestControlPlane();
    point = await connectPoint(plane, 'mcp-server');
    const guard = new McpGuard({ point, name: 'billing', effects: { sum: 'read' } });
    http = createServer((request, response) => {
      const session = request.headers['mcp-session-id'];
      void (async () => {
        const transport = sessions.get(String(session)) ?? (await newSession(guard));
        await guard.handle(transport, request, response);
      })();
    });
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    url = `http://127.0.0.1:${(http.address() as AddressInfo).port}/mcp`;
  });
  afterEach(async () => {
    release.splice(0).forEach((end) => end());
    await Promise.all(clients.splice(0).map((client) => client.close()));
    running = stopped = 0;
  });
  afterAll(async () => {
    http.closeAllConnections();
    http.close();
    await point.close();
    await plane.close();
  });

  async function newSession(guard: McpGuard): Promise<StreamableHTTPServerTransport> {
    const transport: StreamableHTTPServerTransport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => randomUUID(),
      onsessioninitialized: (id) => void sessions.set(id, transport),
    });
    const server = guard.protect(new McpServer({ name: 'billing', version: '1.0.0' }));
    const inputSchema = { a: z.number(), b: z.number() };
    server.registerTool('sum', { inputSchema }, ({ a, b }) => ({
      content: [{ type: 'text', text: String(a + b) }],
    }));
    server.registerTool('wait', {}, async ({ signal }) => {
      running += 1;
      await new Promise<void>((resolve) => {
        signal.addEventListener('abort', () => resolve());
        release.push(resolve);
      });
      running -= 1;
      if (signal.aborted) stopped += 1;
      return { content: [{ type: 'text', text: 'waited' }] };
    });
    server.registerTool('deaf', {}, async () => {
      running += 1;
      await new Promise<void>((resolve) => release.push(resolve));
      return { content: [{ type: 'text', text: 'late' }] };
    });
    server.registerResource('rates', 'file:///rates', {}, (uri) => ({
      contents: [{ uri: uri.href, text: '1.00' }],
    }));
    server.registerPrompt('review', {}, () => ({ messages: [] }));
    await server.connect(transport);
    return transport;
  }

  const spawn = (scopes = ['tool:billing/*']): Promise<SpawnReply> =>
    plane.client.spawn({ name: 'an agent', initiator: { subject: 'alice@example.com' }, scopes });
  const connect = async ({ credential }: SpawnReply): Promise<Client> => {
    const client = new Client({ name: 'agent', version: '1.0.0' });
    const headers = { authorization: `Bearer ${credential.token}` };
    await client.connect(
      new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } }),
    );
    clients.push(client);
    return client;
  };
  const post = (token: string, message: object, headers: Record<string, string> = {}) =>
    fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        ...(token && { authorization: `Bearer ${token}` }),
        ...headers,
      },
      body: JSON.stringify(message),
    });
  const kill = (agent: string) =>
    plane.client.killAgent(agent, { reason: 'it went wrong' }, { waitMs: 10_000 });

  it('shows and serves what the token covers, and refuses the rest by name', async () => {
    const client = await connect(await spawn(['tool:billing/sum', 'tool:billing/prompt:review']));
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(['sum']);
    expect((await client.listPrompts()).prompts).toHaveLength(1);
    expect((await client.listResources()).resources).toEqual([]);
    const sum = await client.callTool({ name: 'sum', arguments: { a: 1, b: 2 } });
    expect(sum.content).toEqual([{ type: 'text', text: '3' }]);
    await expect(client.readResource({ uri: 'file:///rates' })).rejects.toThrow(/403|scope/);
    await expect(client.callTool({ name: 'wait' })).rejects.toThrow(/403|scope/);
    expect(running).toBe(0);
  });

  it('answers with the status and the headers of a sidecar, and the problem as data', async () => {
    const { credential } = await spawn([]);
    const call = { jsonrpc: '2.0', id: 7, method: 'tools/call', params: { name: 'sum' } };
    const nobody = await post('', call);
    expect(nobody.status).toBe(401);
    expect(nobody.headers.get('www-authenticate')).toBe('Bearer error="invalid_token"');
    const lacking = await post(credential.token, call);
    expect(lacking.status).toBe(403);
    expect(await lacking.json()).toMatchObject({
      id: 7,
      error: { code: -32003, data: { code: 'insufficient_scope' } },
    });
    expect((await post(credential.token, [call])).status).toBe(400);
  });

  it('aborts the signal of a running tool at the kill, and answers the refusal, while a neighbour goes on', async () => {
    const [victim, neighbour] = [await spawn(), await spawn()];
    const [one, two] = [await connect(victim), await connect(neighbour)];
    const cut = one.callTool({ name: 'wait' }).catch((error: unknown) => error);
    const spared = two.callTool({ name: 'wait' });
    await eventually(() => expect(running).toBe(2));
    const killed = await kill(victim.agent.id);
    expect(killed.state).toBe('contained');
    expect(await cut).toMatchObject({
      code: -32003,
      data: { code: 'agent_revoked', kill_id: killed.id, terminal: true },
    });
    expect(stopped).toBe(1);
    const [receipt] = (await plane.client.receipts(killed.id)).items;
    expect(receipt?.in_flight).toMatchObject({ completed: 0, uncontrolled: 0 });
    expect(receipt?.in_flight?.aborted).toBeGreaterThan(0);
    await expect(one.listTools()).rejects.toThrow();
    expect(running).toBe(1);
    release.splice(0).forEach((end) => end());
    expect((await spared).content).toEqual([{ type: 'text', text: 'waited' }]);
  });

  it('counts a tool that does not listen as uncontrolled, and nothing of it arrives after the kill', async () => {
    const victim = await spawn();
    const client = await connect(victim);
    const cut = client.callTool({ name: 'deaf' }).catch((error: unknown) => error);
    await eventually(() => expect(running).toBe(1));
    const killed = await kill(victim.agent.id);
    expect(await cut).toMatchObject({ data: { code: 'agent_revoked' } });
    const [receipt] = (await plane.client.receipts(killed.id)).items;
    expect(receipt?.in_flight?.uncontrolled).toBe(1);
    release.splice(0).forEach((end) => end());
    await eventually(() => expect(point.state().inFlight).toBe(0));
  });

  it('gives a session to nobody but its agent', async () => {
    const [owner, other] = [await spawn(), await spawn()];
    const client = await connect(owner);
    const session = (client.transport as StreamableHTTPClientTransport).sessionId ?? '';
    const list = { jsonrpc: '2.0', id: 1, method: 'tools/list' };
    const headers = { 'mcp-session-id': session };
    expect((await post(owner.credential.token, list, headers)).status).toBe(200);
    expect((await post(other.credential.token, list, headers)).status).toBe(404);
  });

  it('refuses a suspended tool, and serves the others', async () => {
    const agent = await spawn();
    await plane.client.kill(
      {
        ...{ subject: { kind: 'tool', id: 'billing/wait' }, action: 'suspend' },
        reason: 'it waits too long',
      },
      { waitMs: 10_000 },
    );
    const client = await connect(agent);
    await expect(client.callTool({ name: 'wait' })).rejects.toThrow(/tool_suspended/);
    expect((await client.listTools()).tools.map(({ name }) => name)).not.toContain('wait');
    await client.callTool({ name: 'sum', arguments: { a: 1, b: 2 } });
  });
});
