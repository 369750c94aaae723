import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Kill, SpawnReply } from '@sever/protocol';
import { Processes } from '../../src/demo/processes';
import { startTestControlPlane, type TestControlPlane } from '../support/control-plane';
import { createRunFolder } from '../support/run-folder';

/** The examples as their READMEs start them, before a real control plane and a real broker. */
describe('an example', () => {
  const processes = new Processes();
  let plane: TestControlPlane;

  beforeAll(async () => {
    plane = await startTestControlPlane();
  });
  afterAll(async () => {
    await processes.stopAll();
    await plane.close();
  });

  const start = async (name: string): Promise<string> => {
    const { found } = await processes.start({
      name,
      args: ['-r', './test/support/register-typescript.cjs', `examples/${name}/main.ts`],
      env: {
        ...{ SEVER_URL: plane.url, SEVER_ENROLMENT_KEY: plane.key, PORT: '0' },
        SEVER_DATA_DIR: createRunFolder('examples'),
      },
      ready: /listening on (\S+)/,
    });
    return found;
  };
  const spawn = (scopes = ['tool:billing/*']): Promise<SpawnReply> =>
    plane.client.spawn({ name: 'an agent', initiator: { subject: 'alice@example.com' }, scopes });
  const kill = (agent: string): Promise<Kill> =>
    plane.client.killAgent(agent, { reason: 'it went wrong' }, { waitMs: 10_000 });
  const suspend = (tool: string): Promise<Kill> =>
    plane.client.kill(
      { subject: { kind: 'tool', id: tool }, action: 'suspend', reason: 'it is slow' },
      { waitMs: 10_000 },
    );
  it('in NestJS is cut for a killed agent, and goes on for its neighbour', async () => {
    const url = await start('nestjs-service');
    const [victim, neighbour] = [await spawn(), await spawn()];
    const call = (method: string, path: string, token?: string, signal?: AbortSignal) =>
      fetch(`${url}/billing/${path}`, {
        ...{ method, headers: token === undefined ? {} : { authorization: `Bearer ${token}` } },
        ...(signal && { signal }),
      });
    const leave = new AbortController();
    const cut = call('POST', 'settle', victim.credential.token);
    let isOver = false;
    const spared = call('POST', 'settle', neighbour.credential.token, leave.signal).then(
      () => (isOver = true),
      () => undefined,
    );
    expect((await call('GET', 'balance', neighbour.credential.token)).status).toBe(200);
    const killed = await kill(victim.agent.id);
    expect(killed.state).toBe('contained');
    const [receipt] = (await plane.client.receipts(killed.id)).items;
    expect(receipt?.in_flight).toEqual({ aborted: 1, completed: 0, uncontrolled: 0 });
    const refused = await cut;
    expect(refused.status).toBe(403);
    expect(await refused.json()).toMatchObject({ code: 'agent_revoked', kill_id: killed.id });
    expect(isOver).toBe(false);
    leave.abort();
    await spared;
    expect((await call('GET', 'balance')).status).toBe(401);
    const { credential } = await spawn(['tool:billing/settle']);
    expect((await call('GET', 'balance', credential.token)).status).toBe(403);
    await suspend('billing/balance');
    const suspended = await call('GET', 'balance', neighbour.credential.token);
    expect(await suspended.json()).toMatchObject({ code: 'tool_suspended' });
  });

  it('of an MCP server is cut for a killed agent, and goes on for its neighbour', async () => {
    const url = await start('mcp-server');
    const [victim, neighbour] = [
      await spawn(['tool:accounts/*']),
      await spawn(['tool:accounts/*']),
    ];
    const connect = async (token: string): Promise<Client> => {
      const client = new Client({ name: 'agent', version: '1.0.0' });
      const requestInit = { headers: { authorization: `Bearer ${token}` } };
      await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
      return client;
    };
    const one = await connect(victim.credential.token);
    const two = await connect(neighbour.credential.token);
    const cut = one.callTool({ name: 'settle' }).catch((error: unknown) => error);
    let isOver = false;
    const spared = two.callTool({ name: 'settle' }).then(
      () => (isOver = true),
      () => undefined,
    );
    expect((await one.callTool({ name: 'balance' })).content).toHaveLength(1);
    const killed = await kill(victim.agent.id);
    expect(killed.state).toBe('contained');
    const [receipt] = (await plane.client.receipts(killed.id)).items.filter(
      ({ in_flight }) => (in_flight?.aborted ?? 0) > 0,
    );
    expect(receipt?.in_flight?.uncontrolled).toBe(0);
    expect(await cut).toMatchObject({ code: -32003, data: { code: 'agent_revoked' } });
    expect(isOver).toBe(false);
    await suspend('accounts/settle');
    await spared;
    await expect(two.callTool({ name: 'settle' })).rejects.toThrow(/tool_suspended/);
    await expect(connect('not.a.token')).rejects.toThrow(/invalid_token/);
    const three = await connect((await spawn(['tool:accounts/settle'])).credential.token);
    await expect(three.callTool({ name: 'balance' })).rejects.toThrow(/insufficient_scope/);
    await Promise.all([one, two, three].map((client) => client.close()));
  });
});
