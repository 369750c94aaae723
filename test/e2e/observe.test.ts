import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { EnforcementPoint } from '@sever/enforcement';
import type { Call, SidecarState, SpawnReply } from '@sever/protocol';
import { Sidecar } from '@sever/sidecar';
import { startTestControlPlane, type TestControlPlane } from '../support/control-plane';
import { connectPoint } from '../support/enforcement-point';
import { eventually } from '../support/eventually';

/** What a fleet has presented to its services since before there was a sidecar. */
const OWN = 'Bearer what-the-fleet-has-always-sent';

/** `old` is only observed, `new` is enforced; `edge` is observed, and another proxy carries its calls out. */
describe('an upstream that is only observed', () => {
  let plane: TestControlPlane;
  let point: EnforcementPoint;
  let sidecar: Sidecar;
  let service: Server;
  const seen: IncomingHttpHeaders[] = [];

  beforeAll(async () => {
    plane = await startTestControlPlane();
    point = await connectPoint(plane, 'day-one', { mode: 'strict', abort: 'stream' });
    service = createServer((request, response) => {
      seen.push(request.headers);
      if (request.url !== '/mcp') return void response.end('done');
      response.setHeader('content-type', 'application/json');
      if (!('mcp-session-id' in request.headers))
        response.setHeader('mcp-session-id', `session-${seen.length}`);
      response.end(JSON.stringify({ jsonrpc: '2.0', id: 1, result: {} }));
    });
    await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(service.address() as AddressInfo).port}`;
    sidecar = await Sidecar.listen(
      {
        ...{ host: '127.0.0.1', port: 0 },
        upstreams: [
          { name: 'old', kind: 'http', url, policy: 'observe' },
          { name: 'new', kind: 'http', url },
          { name: 'tools', kind: 'mcp', url: `${url}/mcp`, policy: 'observe' },
          { name: 'edge', kind: 'ext-authz', policy: 'observe' },
        ],
      },
      { enforcer: point, logger: console },
    );
  });
  afterAll(async () => {
    await sidecar.close();
    service.close();
    await plane.close();
  });
  beforeEach(() => void seen.splice(0));

  const spawn = (scopes: string[] = []): Promise<SpawnReply> =>
    plane.client.spawn({ name: 'an agent', initiator: { subject: 'alice@example.com' }, scopes });
  const get = async (path: string, authorization?: string, program = 'fleet/1') => {
    const response = await fetch(`${sidecar.url}${path}`, {
      headers: { 'user-agent': program, ...(authorization !== undefined && { authorization }) },
    });
    const text = await response.text();
    const code = response.ok ? null : (JSON.parse(text) as { code: string }).code;
    return { status: response.status, code };
  };
  const bearer = ({ credential }: SpawnReply): string => `Bearer ${credential.token}`;
  const wouldDeny = async (): Promise<Call[]> => {
    const { body } = await plane.call('GET', '/v1/calls?decision=would_deny&limit=500');
    return body['items'] as Call[];
  };

  it('lets unknown callers through with what they present, and records them; an enforced one does neither', async () => {
    const program = `unknown/${'x'.repeat(200)}`;
    expect(await get('/old/orders', OWN, program)).toEqual({ status: 200, code: null });
    expect(await get('/old/orders', undefined, program)).toEqual({ status: 200, code: null });
    expect(seen.map(({ authorization }) => authorization)).toEqual([OWN, undefined]);
    expect(await get('/new/orders', OWN, program)).toEqual({ status: 401, code: 'invalid_token' });
    expect(seen).toHaveLength(2);

    await eventually(async () => {
      const calls = (await wouldDeny()).filter(({ user_agent: said }) => said?.startsWith('unkn'));
      expect(calls).toHaveLength(2);
      for (const call of calls)
        expect(call).toMatchObject({
          ...{ agent: null, chain: [], initiator: null, credential_id: null, upstream: 'old' },
          ...{
            decision: 'would_deny',
            code: 'invalid_token',
            outcome: 'completed',
            path: '/old/orders',
          },
          ...{ remote_address: '127.0.0.1', user_agent: program.slice(0, 128) },
        });
    });
    const state = (await (await fetch(`${sidecar.url}/state`)).json()) as SidecarState;
    expect(state.ungoverned).toContainEqual(
      expect.objectContaining({
        ...{ upstream: 'old', code: 'invalid_token', calls: 2 },
        caller: `127.0.0.1 ${program.slice(0, 128)}`,
      }),
    );
    const metrics = await (await fetch(`${sidecar.url}/metrics`)).text();
    expect(metrics).toMatch(/sever_sidecar_would_deny_total\{code="invalid_token"\} \d/);
  });

  it('lets an agent through without the scope, as itself and without its token', async () => {
    const agent = await spawn(['http:GET:old/mine']);
    expect(await get('/old/other', bearer(agent))).toEqual({ status: 200, code: null });
    expect(await get('/old/mine', bearer(agent))).toEqual({ status: 200, code: null });
    expect(seen.map(({ authorization }) => authorization)).toEqual([undefined, undefined]);
    expect((await get('/new/other', bearer(agent))).code).toBe('insufficient_scope');

    await eventually(async () => {
      const calls = (await wouldDeny()).filter((call) => call.agent?.id === agent.agent.id);
      expect(calls.map(({ path, code }) => [path, code])).toEqual([
        ['/old/other', 'insufficient_scope'],
      ]);
    });
  });

  it('believes nothing of a token of ours that does not hold, and does not pass it on', async () => {
    const agent = await spawn();
    const [header, payload] = agent.credential.token.split('.');
    const forged = `Bearer ${header}.${payload}.${'A'.repeat(86)}`;
    expect(await get('/old/orders', forged, 'forger/1')).toEqual({ status: 200, code: null });
    expect(seen.map(({ authorization }) => authorization)).toEqual([undefined]);
    await eventually(async () => {
      const [call] = (await wouldDeny()).filter(({ user_agent: said }) => said === 'forger/1');
      expect(call).toMatchObject({ agent: null, initiator: null, code: 'invalid_token' });
    });
  });

  it('refuses a killed agent all the same, and its twin goes on', async () => {
    const [victim, twin] = [await spawn(), await spawn()];
    expect((await get('/old/orders', bearer(victim))).status).toBe(200);
    const kill = await plane.client.killAgent(
      victim.agent.id,
      { reason: 'it went wrong' },
      { waitMs: 10_000 },
    );
    expect(kill.state).toBe('contained');
    seen.splice(0);
    expect(await get('/old/orders', bearer(victim))).toEqual({
      status: 403,
      code: 'agent_revoked',
    });
    expect(seen).toEqual([]);
    expect((await get('/old/orders', bearer(twin))).status).toBe(200);
    expect((await get('/old/orders', OWN)).status).toBe(200);
  });

  it('refuses everybody while it is suspended, known or not', async () => {
    const agent = await spawn();
    const { body } = await plane.call('POST', '/v1/kills?wait=10s', {
      body: { subject: { kind: 'upstream', id: 'old' }, action: 'suspend', reason: 'a look at it' },
    });
    for (const authorization of [OWN, undefined, bearer(agent)])
      expect((await get('/old/orders', authorization)).code).toBe('tool_suspended');
    expect(seen).toEqual([]);
    await plane.call('POST', `/v1/kills/${String(body['id'])}/lift`, { body: { reason: 'fine' } });
    await eventually(async () => expect((await get('/old/orders', OWN)).status).toBe(200));
  });

  it('has MCP sessions of unknown callers, which no agent can use', async () => {
    const agent = await spawn();
    const post = async (method: string, authorization: string, session?: string) => {
      const response = await fetch(`${sidecar.url}/tools`, {
        method: 'POST',
        headers: {
          ...{ authorization, 'content-type': 'application/json' },
          accept: 'application/json, text/event-stream',
          ...(session !== undefined && { 'mcp-session-id': session }),
        },
        body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params: { name: 'read' } }),
      });
      await response.text();
      return { status: response.status, session: response.headers.get('mcp-session-id') ?? '' };
    };
    const unknown = await post('initialize', OWN);
    const known = await post('initialize', bearer(agent));
    expect([unknown.status, known.status]).toEqual([200, 200]);
    expect((await post('tools/call', OWN, unknown.session)).status).toBe(200);
    expect((await post('tools/call', bearer(agent), known.session)).status).toBe(200);
    expect((await post('tools/call', bearer(agent), unknown.session)).status).toBe(404);
    expect((await post('tools/call', OWN, known.session)).status).toBe(404);
    expect(seen.map(({ authorization }) => authorization)).toEqual([
      OWN,
      undefined,
      OWN,
      undefined,
    ]);
    await eventually(async () => {
      const calls = (await wouldDeny()).filter(({ tool }) => tool === 'tools/read');
      expect(calls.map(({ agent: by, code }) => [by?.id, code])).toEqual([
        [agent.agent.id, 'insufficient_scope'],
        [undefined, 'invalid_token'],
      ]);
    });
  });

  it('is decided about in the same way for another proxy, which is told when the caller is unknown', async () => {
    const agent = await spawn();
    const decide = async (authorization?: string) => {
      const response = await fetch(`${sidecar.url}/ext-authz/envoy/edge/orders`, {
        headers: { 'user-agent': 'fleet/1', ...(authorization !== undefined && { authorization }) },
      });
      return [response.status, response.headers.get('sever-agent')];
    };
    expect(await decide(OWN)).toEqual([200, 'unknown']);
    expect(await decide()).toEqual([200, 'unknown']);
    expect(await decide(bearer(agent))).toEqual([200, agent.agent.id]);
    await plane.client.killAgent(agent.agent.id, { reason: 'it went wrong' }, { waitMs: 10_000 });
    expect((await decide(bearer(agent)))[0]).toBe(403);
  });
});
