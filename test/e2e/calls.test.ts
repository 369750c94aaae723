import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Call } from '@sever/protocol';
import { Sidecar } from '@sever/sidecar';
import { Processes } from '../../src/demo/processes';
import { startTestControlPlane, type TestControlPlane } from '../support/control-plane';
import { connectPoint } from '../support/enforcement-point';
import { eventually } from '../support/eventually';
import { createRunFolder } from '../support/run-folder';
import { startEverything } from '../support/tool-server';

/** Agents call the tools of a real MCP server through a sidecar that is stopped and started while they work. */
describe('calls of a run', () => {
  let plane: TestControlPlane;
  let processes: Processes;
  let tools: string;
  const keyDirectory = join(createRunFolder('calls-run'), 'edge');

  beforeAll(async () => {
    plane = await startTestControlPlane();
    processes = new Processes();
    tools = await startEverything(processes);
  });
  afterAll(async () => {
    await processes.stopAll();
    await plane.close();
  });

  const sidecarUp = async (): Promise<Sidecar> => {
    const enforcer = await connectPoint(plane, 'edge', { keyDirectory, abort: 'stream' });
    const upstreams = [{ name: 'tools', kind: 'mcp', url: tools }] as const;
    const logger = { info: () => {}, warn: () => {}, error: () => {} };
    return await Sidecar.listen({ host: '127.0.0.1', port: 0, upstreams }, { enforcer, logger });
  };

  const agentAt = async (url: string, token: string): Promise<Client> => {
    const client = new Client({ name: 'agent', version: '1.0.0' });
    const requestInit = { headers: { authorization: `Bearer ${token}` } };
    await client.connect(
      new StreamableHTTPClientTransport(new URL(`${url}/tools`), { requestInit }),
    );
    return client;
  };

  const echo = (client: Client, message: string) =>
    client.callTool({ name: 'echo', arguments: { message } });

  it('are all found by the human in whose name they were made, none twice, over a restart of the sidecar', async () => {
    const human = 'alice@run.test';
    const scopes = ['tool:tools/*'];
    const root = await plane.client.spawn({ name: 'a', initiator: { subject: human }, scopes });
    const leaf = await plane.client
      .as(root.credential.token)
      .spawn({ name: 'b', scopes: ['tool:tools/echo'] });
    for (const round of [1, 2]) {
      const sidecar = await sidecarUp();
      for (const { credential } of [root, leaf]) {
        const client = await agentAt(sidecar.url, credential.token);
        for (let n = 0; n < 10; n += 1) await echo(client, `${round}.${n}`);
        await client.close();
      }
      // Without a pause: what has not been sent yet is sent now, or by the next process.
      await sidecar.close();
    }
    await plane.client.killAgent(leaf.agent.id, { reason: 'drill' });
    const last = await sidecarUp();
    const refused = await fetch(`${last.url}/tools`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${leaf.credential.token}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({
        ...{ jsonrpc: '2.0', id: 1, method: 'tools/call' },
        params: { name: 'echo', arguments: { message: 'too late' } },
      }),
    });
    expect(refused.status).toBe(403);
    await last.close();

    const calls = async (query: string): Promise<Call[]> =>
      (await plane.call('GET', `/v1/calls?limit=500&${query}`)).body['items'] as Call[];
    const hers = await eventually(async () => {
      const found = (await calls(`initiator=${human}`)).filter(({ tool }) => tool !== null);
      expect(found).toHaveLength(41);
      return found;
    });
    expect(new Set(hers.map(({ id }) => id)).size).toBe(41);
    expect(hers.filter(({ outcome }) => outcome === 'completed')).toHaveLength(40);
    expect(hers[0]).toMatchObject({
      ...{ outcome: 'refused', decision: 'deny', code: 'agent_revoked', tool: 'tools/echo' },
      chain: [{ id: root.agent.id }, { id: leaf.agent.id }],
    });
    const [completed] = hers.filter(({ outcome }) => outcome === 'completed');
    expect(completed).toMatchObject({
      ...{ upstream: 'tools', status: 200, decision: 'allow', stale: false },
      initiator: { subject: human },
      enforcement_point: { name: 'edge' },
    });
    expect(completed?.arguments_hash).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(await calls('initiator=bob@run.test')).toEqual([]);
  }, 120_000);
});
