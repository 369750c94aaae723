import { CheckReply, SidecarState } from '@sever/protocol';
import { sidecarBefore, type SidecarUnderTest } from './support/sidecar-under-test';

describe('the listener', () => {
  let under: SidecarUnderTest;
  beforeEach(async () => void (under = await sidecarBefore({ tools: 'http://127.0.0.1:9/mcp' })));
  afterEach(() => under.sidecar.close());

  const get = (path: string): Promise<Response> => fetch(`${under.url}${path}`);
  const check = (body: unknown, type = 'application/json'): Promise<Response> =>
    fetch(`${under.url}/check`, {
      method: 'POST',
      headers: { 'content-type': type },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });

  describe('/check', () => {
    it('allows a living agent, and a tool or scope that its token covers', async () => {
      const token = under.enforcer.agent('a', ['tool:tools/add']);
      for (const body of [
        { token },
        { token, tool: 'tools/add' },
        { token, scope: 'tool:tools/add' },
      ]) {
        const reply = await check(body);
        expect(reply.status).toBe(200);
        expect(await reply.json()).toEqual({ decision: 'allow', stale: false });
      }
    });

    it('says so when it decided without a lease', async () => {
      under.enforcer.stale = true;
      expect(await (await check({ token: under.enforcer.agent('a') })).json()).toEqual({
        decision: 'allow',
        stale: true,
      });
    });

    it.each([
      ['invalid_token', (): void => undefined, { token: 'nobody' }],
      ['insufficient_scope', (): void => undefined, { tool: 'tools/drop' }],
      ['agent_revoked', (): void => under.enforcer.kill('a'), {}],
      ['agent_suspended', (): void => under.enforcer.suspend('agent:a'), {}],
      [
        'tool_suspended',
        (): void => under.enforcer.suspend('tool:tools/add'),
        { tool: 'tools/add' },
      ],
      ['enforcement_stale', (): void => under.enforcer.lapse(), {}],
    ])(
      'denies with 403 and %s, while another agent is judged by itself',
      async (code, make, body) => {
        const token = under.enforcer.agent('a', ['tool:tools/add']);
        const other = under.enforcer.agent('b', ['tool:tools/other']);
        make();
        const reply = await check({ token, ...body });
        expect(reply.status).toBe(403);
        const said = CheckReply.parse(await reply.json());
        expect(said).toMatchObject({ decision: 'deny', code, stale: false });
        if (code === 'agent_revoked') {
          expect(said).toMatchObject({ kill_id: 'kil_a', terminal: true });
        }
        if (code !== 'enforcement_stale') {
          expect((await check({ token: other, tool: 'tools/other' })).status).toBe(200);
        }
      },
    );

    it.each([
      ['no token', {}, 400, 'bad_request'],
      ['an unknown field', { token: 't', agent: 'a' }, 400, 'bad_request'],
      ['a tool without its upstream', { token: 't', tool: 'add' }, 400, 'bad_request'],
      ['a scope that is none', { token: 't', scope: '*' }, 400, 'bad_request'],
      ['broken JSON', '{"token":', 400, 'bad_request'],
      ['no JSON at all', '', 400, 'bad_request'],
      ['a key said twice', '{"token":"t","token":"u"}', 400, 'bad_request'],
      ['a key said twice, once escaped', '{"token":"t","to\\u006ben":"u"}', 400, 'bad_request'],
      ['a key that reaches a prototype', '{"token":"t","__proto__":{}}', 400, 'bad_request'],
      [
        'more than a token and a tool take',
        { token: 'x'.repeat(40_000) },
        413,
        'payload_too_large',
      ],
    ])('answers %s as a problem', async (_what, body, status, code) => {
      const reply = await check(body);
      expect(reply.status).toBe(status);
      expect(reply.headers.get('content-type')).toContain('application/problem+json');
      expect(await reply.json()).toMatchObject({ type: `urn:sever:problem:${code}`, code, status });
    });

    it('decides upon neither of two tokens in one body, while one alone is judged', async () => {
      const token = under.enforcer.agent('a');
      expect((await check(`{"token":"nobody","token":"${token}"}`)).status).toBe(400);
      expect((await check(`{"token":"${token}","token":"${token}"}`)).status).toBe(400);
      expect((await check(`{"token":"${token}"}`)).status).toBe(200);
    });

    it('takes JSON alone', async () => {
      expect((await check('token=t', 'application/x-www-form-urlencoded')).status).toBe(415);
    });
  });

  it('shows its state', async () => {
    const state = SidecarState.parse(await (await get('/state')).json());
    expect(state).toMatchObject({ epoch: 1, applied: 7, lease_left_ms: 8_000, ready: true });
    expect(state.upstreams).toEqual([
      { name: 'tools', kind: 'mcp', url: 'http://127.0.0.1:9/mcp' },
    ]);
  });

  it('is alive without a lease, and ready with one alone', async () => {
    expect([(await get('/healthz')).status, (await get('/readyz')).status]).toEqual([200, 200]);
    under.enforcer.lapse();
    expect((await get('/healthz')).status).toBe(200);
    const notReady = await get('/readyz');
    expect(notReady.status).toBe(503);
    expect(notReady.headers.get('retry-after')).toBe('1');
    under.enforcer.recover();
    expect((await get('/readyz')).status).toBe(200);
    under.enforcer.darkBecause = 'diverged';
    expect((await get('/readyz')).status).toBe(503);
  });

  it('counts what it decided', async () => {
    await check({ token: under.enforcer.agent('a') });
    await check({ token: 'nobody' });
    await check({ token: 'nobody' });
    const metrics = await (await get('/metrics')).text();
    expect(metrics).toContain('sever_sidecar_decisions_total{code="allow"} 1');
    expect(metrics).toContain('sever_sidecar_decisions_total{code="invalid_token"} 2');
    expect(metrics).toContain('sever_sidecar_applied_seq 7');
    expect(metrics).toContain('sever_sidecar_lease_left_seconds 8');
    expect(metrics).toContain('sever_sidecar_in_flight 0');
  });

  it('answers what it does not serve as a problem', async () => {
    const reply = await get('/nothing');
    expect(reply.status).toBe(404);
    expect(await reply.json()).toMatchObject({ code: 'not_found' });
  });
});
