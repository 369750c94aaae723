import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CallToolResultSchema,
  CreateTaskResultSchema,
  GetTaskResultSchema,
} from '@modelcontextprotocol/sdk/types.js';
import type { Kill, SpawnReply } from '@sever/protocol';
import { Processes, ROOT } from '../../src/demo/processes';
import { startTestControlPlane, type TestControlPlane } from '../support/control-plane';
import { eventually } from '../support/eventually';
import { startSidecar } from '../support/sidecar-process';
import { startEverything } from '../support/tool-server';

const KEY = 'sk-of-the-provider';
const LONG = 'trigger-long-running-operation';
const REPEATS = 150;
/** Once for each time that the stand-in repeats what the provider said. */
const SAID = 'content_block_delta';

/** A control plane, a sidecar in its own process, the MCP reference server in another, and the SDK's own client. */
describe('a kill, at a sidecar before tools and a model', () => {
  const processes = new Processes();
  let plane: TestControlPlane;
  let model: ChildProcess;
  let sidecar: string;

  beforeAll(async () => {
    plane = await startTestControlPlane();
    const tools = await startEverything(processes);
    model = spawn(process.execPath, [join(ROOT, 'examples/model-provider/stand-in.mjs')], {
      env: { STAND_IN_KEY: KEY, STAND_IN_REPEATS: String(REPEATS) },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (model.stdout === null) throw new Error('the stand-in has no output');
    const [line] = (await once(createInterface({ input: model.stdout }), 'line')) as [string];
    model.stdout.resume();
    const { url } = JSON.parse(line) as { url: string };
    const config = [
      'name: edge',
      'upstreams:',
      `  - { name: everything, kind: mcp, url: '${tools}' }`,
      '  - name: anthropic',
      '    kind: http',
      `    url: '${url}'`,
      '    token_from: [x-api-key, authorization]',
      "    credential: { header: x-api-key, value: '${MODEL_KEY}' }",
    ].join('\n');
    ({ found: sidecar } = await startSidecar(processes, {
      ...{ plane, config },
      env: { MODEL_KEY: KEY },
    }));
  });
  afterAll(async () => {
    model.kill();
    await processes.stopAll();
    await plane.close();
  });

  const agent = (scopes: string[]): Promise<SpawnReply> =>
    plane.client.spawn({ name: 'agent', initiator: { subject: 'alice@example.com' }, scopes });
  const kill = (id: string): Promise<Kill> =>
    plane.client.killAgent(id, { reason: 'drill' }, { waitMs: 10_000 });
  const aborted = async ({ id }: Kill): Promise<number | undefined> =>
    (await plane.client.receipts(id)).items[0]?.in_flight?.aborted;
  const connect = async ({ credential: { token } }: SpawnReply): Promise<Client> => {
    const client = new Client({ name: 'agent', version: '1.0.0' });
    await client.connect(
      new StreamableHTTPClientTransport(new URL(`${sidecar}/everything`), {
        requestInit: { headers: { authorization: `Bearer ${token}` } },
        reconnectionOptions: {
          ...{ maxRetries: 0, initialReconnectionDelay: 1, maxReconnectionDelay: 1 },
          reconnectionDelayGrowFactor: 1,
        },
      }),
    );
    return client;
  };

  it('cuts a long-running tool in its midst, while a neighbour’s runs on to its end', async () => {
    const [doomed, neighbour] = [
      await agent(['tool:everything/*']),
      await agent(['tool:everything/*']),
    ];
    const [client, other] = [await connect(doomed), await connect(neighbour)];
    const steps = { doomed: 0, neighbour: 0 };
    const cut = client
      .callTool({ name: LONG, arguments: { duration: 600, steps: 6_000 } }, undefined, {
        onprogress: () => void (steps.doomed += 1),
        timeout: 60_000,
      })
      .catch((error: unknown) => error);
    const whole = other.callTool({ name: LONG, arguments: { duration: 3, steps: 30 } }, undefined, {
      onprogress: () => void (steps.neighbour += 1),
    });
    await eventually(() => expect(Math.min(steps.doomed, steps.neighbour)).toBeGreaterThan(1));
    const before = steps.neighbour;

    const killed = await kill(doomed.agent.id);

    expect(killed.state).toBe('contained');
    expect(await cut).toMatchObject({
      code: -32003,
      data: { code: 'agent_revoked', kill_id: killed.id, terminal: true },
    });
    expect(before).toBeLessThan(30);
    expect(JSON.stringify((await whole).content)).toContain('Long running operation completed');
    expect(steps.neighbour).toBe(30);
    expect(await aborted(killed)).toBeGreaterThanOrEqual(1);
    await expect(client.callTool({ name: 'echo', arguments: { message: 'x' } })).rejects.toThrow();
    await Promise.all([client.close(), other.close()]);
  });

  it('cancels the task that its agent left running, while a neighbour’s comes to its result', async () => {
    const [doomed, neighbour] = [
      await agent(['tool:everything/*']),
      await agent(['tool:everything/*']),
    ];
    const begin = async (by: Client): Promise<string> => {
      const research = { name: 'simulate-research-query', arguments: { topic: 'rivers' } };
      const params = { ...research, task: { ttl: 60_000 } };
      const { task } = await by.request({ method: 'tools/call', params }, CreateTaskResultSchema);
      return task.taskId;
    };
    const [client, other] = [await connect(doomed), await connect(neighbour)];
    await begin(client);
    const taskId = await begin(other);
    // Nothing of it runs in the sidecar at the moment of the kill.
    await client.close();

    expect((await kill(doomed.agent.id)).state).toBe('contained');

    await eventually(async () => {
      const metrics = await (await fetch(`${sidecar}/metrics`)).text();
      // The server itself has confirmed it.
      expect(metrics).toContain('sever_sidecar_left_open_total{what="task",outcome="ended"} 1');
    });
    const get = { method: 'tasks/get', params: { taskId } };
    expect((await other.request(get, GetTaskResultSchema)).status).toBe('working');
    const result = { method: 'tasks/result', params: { taskId } };
    const { content } = await other.request(result, CallToolResultSchema);
    expect(JSON.stringify(content)).toContain('rivers');
    await other.close();
  });

  it('stops an agent whose only tool is its model, in mid-answer, while a neighbour’s is told all', async () => {
    const scopes = ['http:POST:anthropic/v1/messages'];
    const [doomed, neighbour] = [await agent(scopes), await agent(scopes)];
    const ask = ({ credential: { token } }: SpawnReply): Promise<Response> =>
      fetch(`${sidecar}/anthropic/v1/messages`, {
        method: 'POST',
        headers: { 'x-api-key': token, 'content-type': 'application/json' },
        body: JSON.stringify({ stream: true, messages: [{ role: 'user', content: 'Hello?' }] }),
      });
    const listen = async (response: Response, onText: (text: string) => void): Promise<string> => {
      let all = '';
      for await (const chunk of response.body ?? []) {
        all += Buffer.from(chunk as Uint8Array).toString();
        onText(all);
      }
      return all;
    };
    const [toDoomed, toNeighbour] = [await ask(doomed), await ask(neighbour)];
    expect([toDoomed.status, toNeighbour.status]).toEqual([200, 200]);
    const heard = { doomed: '', neighbour: '' };
    const cut = listen(toDoomed, (text) => (heard.doomed = text));
    const whole = listen(toNeighbour, (text) => (heard.neighbour = text));
    await eventually(() => {
      expect(heard.doomed).toContain(SAID);
      expect(heard.neighbour).toContain(SAID);
    });

    const killed = await kill(doomed.agent.id);

    expect(killed.state).toBe('contained');
    const ended = await cut;
    expect(ended).not.toContain('message_stop');
    const last = ended.trimEnd().split('\n').at(-1) ?? '';
    expect(JSON.parse(last.slice('data: '.length))).toMatchObject({
      ...{ code: 'agent_revoked', kill_id: killed.id },
      error: { type: 'permission_error' },
    });
    expect((await ask(doomed)).status).toBe(403);
    expect(await aborted(killed)).toBe(1);
    expect(await whole).toContain('message_stop');
    expect((await ask(neighbour)).status).toBe(200);
  });
});
