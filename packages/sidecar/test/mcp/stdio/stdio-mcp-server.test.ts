import { join } from 'node:path';
import type { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { LoggingMessageNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { StdioMcpServer } from '../../../src/mcp/stdio/stdio-mcp-server';
import { HoldGate } from '../../../src/relay/hold-gate';
import { eventually } from '../../../../../test/support/eventually';
import { agentClient } from '../../support/agent-client';
import { sidecarBefore, type SidecarUnderTest } from '../../support/sidecar-under-test';

const STUBBORN = join(__dirname, '../../support/stubborn-server.js');

interface Self {
  readonly pid: number;
  readonly below: number;
  readonly env: Readonly<Record<string, string>>;
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('a wrapped stdio server', () => {
  let under: SidecarUnderTest;
  let url: string;

  beforeEach(async () => {
    process.env['SIDECAR_SECRET'] = 'not for servers';
    under = await sidecarBefore({
      own: { command: { argv: [process.execPath, STUBBORN], env: { GIVEN: 'yes' } } },
      broken: { command: { argv: ['/no/such/program'], env: {} } },
    });
    url = `${under.url}/own`;
  });
  afterEach(async () => {
    delete process.env['SIDECAR_SECRET'];
    await under.sidecar.close();
  });

  const client = async (agent: string): Promise<Client> =>
    await agentClient(url, under.enforcer.agent(agent, ['tool:own/*']));
  const self = async (of: Client): Promise<Self> => {
    const { content } = await of.callTool({ name: 'self' });
    const [{ text }] = content as [{ text: string }];
    return JSON.parse(text) as Self;
  };

  it('has a process for each session, and of the environment what the config gives it', async () => {
    const clients = [await client('one'), await client('one'), await client('two')];
    const selves = await Promise.all(clients.map(self));
    expect(new Set(selves.map(({ pid }) => pid)).size).toBe(3);
    expect(selves[0]?.env).toMatchObject({ GIVEN: 'yes' });
    expect(selves[0]?.env).not.toHaveProperty('SIDECAR_SECRET');
    await Promise.all(clients.map((one) => one.close()));
  });

  it("ends with all that it has started at its agent's kill, deaf as it is, and a neighbour's lives on", async () => {
    const [doomed, neighbour] = [await client('doomed'), await client('neighbour')];
    const [dead, alive] = [await self(doomed), await self(neighbour)];
    under.enforcer.kill('doomed');
    await eventually(() => expect([dead.pid, dead.below].filter(lives)).toEqual([]));
    expect([alive.pid, alive.below].filter(lives)).toHaveLength(2);
    expect((await self(neighbour)).pid).toBe(alive.pid);
    await Promise.all([doomed.close(), neighbour.close()]);
  });

  it('ends with its session, and with the sidecar', async () => {
    const [first, second] = [await client('one'), await client('one')];
    const [one, two] = [await self(first), await self(second)];
    const transport = first.transport as unknown as { terminateSession(): Promise<void> };
    await transport.terminateSession();
    await eventually(() => expect([one.pid, one.below].filter(lives)).toEqual([]));
    expect(lives(two.pid)).toBe(true);
    await first.close();
    await under.sidecar.close();
    expect([two.pid, two.below].filter(lives)).toEqual([]);
    await second.close();
  });

  it('is told of a call that is cut, and says on the stream of a call what it says during it', async () => {
    const caller = await client('caller');
    const said: unknown[] = [];
    caller.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
      said.push(params.data);
    });
    const hung = caller.callTool({ name: 'hang' }).catch((error: unknown) => error);
    await eventually(() => expect(said).toEqual(['hangs']));
    under.enforcer.suspend('tool:own/hang');
    expect(await hung).toMatchObject({ data: { code: 'tool_suspended' } });
    expect((await self(caller)).env).toMatchObject({ GIVEN: 'yes' });
    await caller.close();
  });

  it('that dies ends its calls with an error, and its session is unknown from then on', async () => {
    const caller = await client('caller');
    await expect(caller.callTool({ name: 'die' })).rejects.toThrow('has ended');
    await expect(caller.callTool({ name: 'self' })).rejects.toMatchObject({ code: 404 });
    await caller.close();
    const again = await client('caller');
    expect((await self(again)).env).toMatchObject({ GIVEN: 'yes' });
    await again.close();
  });

  it('that cannot be started is told by name, with what to look at', async () => {
    const token = under.enforcer.agent('hopeful', ['tool:*']);
    await expect(agentClient(`${under.url}/broken`, token)).rejects.toThrow(
      /broken cannot be started \(ENOENT\); look at its command/,
    );
  });

  it('runs as often as it may and no more, until a session is over', async () => {
    const silent = { info: () => undefined, warn: () => undefined, error: () => undefined };
    const server = new StdioMcpServer({
      name: 'own',
      command: { argv: [process.execPath, STUBBORN], env: {} },
      maxSessions: 1,
      maxBodyBytes: 10_000,
      logger: silent,
    });
    const initialize = {
      ...{ jsonrpc: '2.0', id: 1, method: 'initialize' },
      params: {
        protocolVersion: '2025-11-25',
        capabilities: {},
        clientInfo: { name: 'x', version: '1' },
      },
    };
    const signal = new AbortController().signal;
    const gate = new HoldGate({ held: false, onHold: () => undefined });
    const headers = {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
    };
    const open = async () =>
      await server.send({
        ...{ method: 'POST', headers, gate, signal },
        body: Buffer.from(JSON.stringify(initialize)),
      });
    const first = await open();
    first.body.resume();
    await expect(open()).rejects.toThrow('As many sessions of own run as may (1)');
    const session = first.headers['mcp-session-id'] as string;
    const ended = { ...headers, 'mcp-session-id': session };
    await server.send({ method: 'DELETE', headers: ended, body: undefined, gate, signal });
    const second = await eventually(open);
    second.body.resume();
    await server.close();
  });
});
