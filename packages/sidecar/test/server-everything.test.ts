import { agentClient } from './support/agent-client';
import { eventually } from '../../../test/support/eventually';
import { startReferenceServer, type ReferenceServer } from './support/reference-server';
import { sidecarBefore, type SidecarUnderTest } from './support/sidecar-under-test';

describe('before the MCP reference server, in its own process', () => {
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

  const long = {
    name: 'trigger-long-running-operation',
    arguments: { duration: 600, steps: 6_000 },
  };

  it('relays its tools and keeps scopes apart', async () => {
    const client = await agentClient(url, under.enforcer.agent('echoer', ['tool:everything/echo']));
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(['echo']);
    const echo = await client.callTool({ name: 'echo', arguments: { message: 'over there' } });
    expect(JSON.stringify(echo.content)).toContain('over there');
    await expect(client.callTool({ name: 'get-env', arguments: {} })).rejects.toThrow('403');
    await client.close();
  });

  it('keeps resources and prompts apart by their scopes, completion included', async () => {
    const scopes = [
      'tool:everything/resource:demo://resource/static/*',
      'tool:everything/prompt:simple-*',
    ];
    const client = await agentClient(url, under.enforcer.agent('librarian', scopes));
    const { resources } = await client.listResources();
    expect(resources.length).toBeGreaterThan(0);
    const [uri = ''] = resources.map((resource) => resource.uri);
    expect(uri).toMatch(/^demo:\/\/resource\/static\//);
    expect((await client.readResource({ uri })).contents).toHaveLength(1);
    expect((await client.listResourceTemplates()).resourceTemplates).toEqual([]);
    const dynamic = { uri: 'demo://resource/dynamic/text/1' };
    await expect(client.readResource(dynamic)).rejects.toMatchObject({ code: 403 });
    await expect(client.subscribeResource(dynamic)).rejects.toMatchObject({ code: 403 });
    expect((await client.listPrompts()).prompts.map(({ name }) => name)).toEqual(['simple-prompt']);
    expect((await client.getPrompt({ name: 'simple-prompt' })).messages).toHaveLength(1);
    const other = { name: 'completable-prompt', arguments: { department: 'Sales', name: 'x' } };
    await expect(client.getPrompt(other)).rejects.toMatchObject({ code: 403 });
    const complete = client.complete({
      ref: { type: 'ref/prompt', name: other.name },
      argument: { name: 'department', value: 'S' },
    });
    await expect(complete).rejects.toMatchObject({ code: 403 });
    expect((await client.listTools()).tools).toEqual([]);
    await client.close();
  });

  it('cuts a long-running tool at the kill, while a neighbour completes the same tool', async () => {
    const doomed = await agentClient(url, under.enforcer.agent('doomed', ['tool:everything/*']));
    const neighbour = await agentClient(url, under.enforcer.agent('safe', ['tool:everything/*']));
    let steps = 0;
    const cut = doomed
      .callTool(long, undefined, { onprogress: () => void (steps += 1), timeout: 60_000 })
      .catch((error: unknown) => error);
    await eventually(() => expect(steps).toBeGreaterThan(1));
    let neighbourSteps = 0;
    const whole = neighbour.callTool(
      { ...long, arguments: { duration: 1, steps: 10 } },
      undefined,
      { onprogress: () => void (neighbourSteps += 1) },
    );
    await eventually(() => expect(neighbourSteps).toBeGreaterThan(0));

    under.enforcer.kill('doomed', 'kil_long');

    expect(await cut).toMatchObject({
      code: -32003,
      data: { code: 'agent_revoked', kill_id: 'kil_long', terminal: true },
    });
    expect(JSON.stringify((await whole).content)).toContain('Long running operation completed');
    expect(neighbourSteps).toBe(10);
    await Promise.all([doomed.close(), neighbour.close()]);
  });
});
