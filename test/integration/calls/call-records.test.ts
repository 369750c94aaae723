import type { EnforcementPoint, SeenCall } from '@sever/enforcement';
import { newId, type Call, type CallRecord, type CallReply } from '@sever/protocol';
import { Client } from 'pg';
import { hashSecretKey, newSecretKey } from '../../../src/access/secret-keys';
import { Enrol } from '../../../src/enforcement/enrol';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';
import { connectPoint } from '../../support/enforcement-point';
import { eventually } from '../../support/eventually';
import { createRunFolder } from '../../support/run-folder';
import { HandDrivenPoint } from '../stream/hand-driven-point';

const DAY_MS = 86_400_000;

interface Family {
  readonly root: string;
  readonly leaf: string;
  readonly token: string;
  readonly initiator: string;
  readonly task: string;
}

describe('records of calls', () => {
  let plane: TestControlPlane;
  let sql: Client;
  const points: EnforcementPoint[] = [];

  beforeAll(async () => {
    plane = await startTestControlPlane();
    sql = new Client({ connectionString: plane.database.url });
    await sql.connect();
  });
  afterEach(async () => {
    plane.broker.thaw();
    await Promise.all(points.splice(0).map((point) => point.close()));
  });
  afterAll(async () => {
    await sql.end();
    await plane.close();
  });

  async function connected(
    name: string,
    options: Parameters<typeof connectPoint>[2] = {},
  ): Promise<EnforcementPoint> {
    const point = await connectPoint(plane, name, options);
    points.push(point);
    return point;
  }

  async function family(human: string): Promise<Family> {
    const { client } = plane;
    const root = await client.spawn({
      ...{ name: 'planner', initiator: { subject: human }, scopes: ['tool:*'] },
      task: { name: 'errand' },
    });
    const leaf = await client
      .as(root.credential.token)
      .spawn({ name: 'reader', scopes: ['tool:*'] });
    return {
      root: root.agent.id,
      leaf: leaf.agent.id,
      token: leaf.credential.token,
      initiator: root.agent.initiator.id,
      task: root.agent.task_id ?? '',
    };
  }

  /** One call, as a proxy would see it from its admission to its end. */
  async function call(
    point: EnforcementPoint,
    token: string,
    tool: string,
    more: Partial<SeenCall> = {},
  ): Promise<void> {
    const startedAt = point.now();
    const decision = await point.check(token, { tool });
    if (decision.caller === undefined) throw new Error('the token is none');
    point.record({
      ...{ caller: decision.caller, startedAt, durationMs: 1.5, tool },
      upstream: tool.split('/', 1)[0],
      ...{ decision: decision.decision, stale: decision.stale },
      ...(decision.decision === 'deny'
        ? { code: decision.code, killId: decision.killId, outcome: 'refused' }
        : { outcome: 'completed' }),
      ...more,
    });
  }

  async function list(query: Record<string, string>, key = plane.key): Promise<Call[]> {
    const items: Call[] = [];
    let cursor: string | null = null;
    do {
      const page = new URLSearchParams({ ...query, ...(cursor !== null && { cursor }) });
      const reply = await plane.call('GET', `/v1/calls?${page.toString()}`, { key });
      expect(reply.status).toBe(200);
      items.push(...(reply.body['items'] as Call[]));
      cursor = reply.body['next_cursor'] as string | null;
    } while (cursor !== null);
    return items;
  }

  const tools = (calls: readonly Call[]) => calls.map(({ tool }) => tool);

  it('lead from a human to everything done in their name, and from a call up the chain to the human', async () => {
    const point = await connected('both-ways');
    const [alice, bob] = [await family('alice@calls.test'), await family('bob@calls.test')];
    await call(point, alice.token, 'files/read', { durationMs: 7 });
    await call(point, alice.token, 'mail/send', {
      traceId: 'a'.repeat(32),
      spanId: 'b'.repeat(16),
    });
    await call(point, bob.token, 'files/read');

    const hers = await eventually(async () => {
      const found = await list({ initiator: 'alice@calls.test' });
      expect(tools(found)).toEqual(['mail/send', 'files/read']);
      return found;
    });
    expect(hers[1]).toMatchObject({
      enforcement_point: { name: 'both-ways' },
      agent: { id: alice.leaf, name: 'reader' },
      chain: [
        { id: alice.root, name: 'planner' },
        { id: alice.leaf, name: 'reader' },
      ],
      initiator: { id: alice.initiator, subject: 'alice@calls.test', issuer: null },
      ...{ task_ids: [alice.task], decision: 'allow', code: null, outcome: 'completed' },
      ...{ duration_ms: 7, stale: false, kill_id: null, arguments: null },
    });
    for (const query of [
      { initiator: alice.initiator },
      { agent: alice.leaf },
      { under: alice.root },
      { task: alice.task },
      { initiator: 'alice@calls.test', limit: '1' },
    ])
      expect(tools(await list(query as Record<string, string>))).toEqual([
        'mail/send',
        'files/read',
      ]);
    expect(await list({ agent: alice.root })).toEqual([]);
    expect(tools(await list({ under: alice.root, tool: 'mail/send' }))).toEqual(['mail/send']);
    expect(tools(await list({ trace_id: 'a'.repeat(32) }))).toEqual(['mail/send']);
    expect(tools(await list({ initiator: 'bob@calls.test' }))).toEqual(['files/read']);
    const now = new Date().toISOString();
    expect(await list({ initiator: 'bob@calls.test', until: '2026-01-01T00:00:00Z' })).toEqual([]);
    expect(await list({ initiator: 'bob@calls.test', since: now })).toEqual([]);
  });

  it('name the order by which a call was refused, and the calls of others are untouched', async () => {
    const point = await connected('refusals');
    const [carol, dave] = [await family('carol@calls.test'), await family('dave@calls.test')];
    const kill = await plane.client.killAgent(carol.root, { reason: 'drill' });
    await call(point, carol.token, 'files/read');
    await call(point, dave.token, 'files/read');
    await eventually(async () => {
      const cut = await list({ kill_id: kill.id });
      expect(cut.map(({ agent, code }) => [agent?.id, code])).toEqual([
        [carol.leaf, 'agent_revoked'],
      ]);
    });
    expect(await list({ decision: 'deny', initiator: 'dave@calls.test' })).toEqual([]);
  });

  it('are all found and none twice, over a broker that goes and an enforcement point that restarts', async () => {
    const erin = await family('erin@calls.test');
    const keyDirectory = createRunFolder('calls-point');
    const first = await connected('restarts', {
      keyDirectory,
      transport: 'nats',
      mode: 'best_effort',
    });
    for (let n = 0; n < 30; n += 1) await call(first, erin.token, `files/${n}`);
    await eventually(() => expect(first.state().calls.sent).toBe(30));
    plane.broker.freeze();
    for (let n = 30; n < 60; n += 1) await call(first, erin.token, `files/${n}`);
    await first.close();
    expect(first.state().calls).toMatchObject({ sent: 30, waiting: 0, spooled: 30 });
    plane.broker.thaw();
    const second = await connected('restarts', {
      keyDirectory,
      transport: 'nats',
      mode: 'best_effort',
    });
    for (let n = 60; n < 90; n += 1) await call(second, erin.token, `files/${n}`);
    await eventually(() => expect(second.state().calls).toMatchObject({ sent: 60, spooled: 0 }), {
      timeoutMs: 15_000,
    });
    const found = await list({ initiator: 'erin@calls.test', limit: '37' });
    expect(tools(found).sort()).toEqual(Array.from({ length: 90 }, (_, n) => `files/${n}`).sort());
    expect(new Set(found.map(({ id }) => id)).size).toBe(90);
  }, 60_000);

  it('travel over HTTP where no broker is', async () => {
    const frank = await family('frank@calls.test');
    const point = await connected('no-broker', { transport: 'http' });
    await call(point, frank.token, 'files/read');
    await eventually(async () =>
      expect(tools(await list({ initiator: 'frank@calls.test' }))).toEqual(['files/read']),
    );
  });

  it('never slow a call, and a kill goes first, while the control plane takes no records', async () => {
    const grace = await family('grace@calls.test');
    const point = await connected('slow-plane');
    await sql.query('BEGIN');
    await sql.query('LOCK TABLE call_record IN ACCESS EXCLUSIVE MODE');
    try {
      const started = performance.now();
      for (let n = 0; n < 2_000; n += 1) await call(point, grace.token, `files/${n}`);
      expect(performance.now() - started).toBeLessThan(2_000);
      const kill = await plane.client.killAgent(grace.root, { reason: 'drill' });
      expect(kill.state).toBe('contained');
      expect(point.state().calls.sent).toBe(0);
    } finally {
      await sql.query('ROLLBACK');
    }
    await eventually(() => expect(point.state().calls.sent).toBe(2_000), { timeoutMs: 20_000 });
    expect(await list({ initiator: 'grace@calls.test', limit: '500' })).toHaveLength(2_000);
  }, 60_000);

  it('of a trace lead a kill to the agents that made them, and spare those that did not', async () => {
    const point = await connected('traced');
    const [judy, mallory] = [await family('judy@calls.test'), await family('mallory@calls.test')];
    const traceId = 'c'.repeat(32);
    await call(point, judy.token, 'files/read', { traceId });
    await call(point, mallory.token, 'files/read', { traceId: 'd'.repeat(32) });
    await eventually(async () => expect(await list({ trace_id: traceId })).toHaveLength(1));
    const order = { subject: { kind: 'trace', id: traceId }, reason: 'drill' } as const;
    const kill = await plane.client.kill(order);
    expect(kill.subjects).toEqual([{ kind: 'agent', id: judy.leaf }]);
    expect((await plane.client.getAgent(judy.root)).state).toBe('active');
    expect((await plane.client.getAgent(mallory.leaf)).state).toBe('active');
  });

  it('that cannot be read keep no kill of a trace waiting: it takes those that were spawned in it', async () => {
    const traceId = 'e'.repeat(32);
    const spawned = await plane.call('POST', '/v1/agents', {
      body: { name: 'spawned', initiator: { subject: 'niaj@calls.test' } },
      headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` },
    });
    await sql.query('BEGIN');
    await sql.query('LOCK TABLE call_record IN ACCESS EXCLUSIVE MODE');
    try {
      const started = performance.now();
      const kill = await plane.client.kill(
        { subject: { kind: 'trace', id: traceId }, reason: 'drill' },
        { waitMs: 0 },
      );
      expect(performance.now() - started).toBeLessThan(2_000);
      const { id } = (spawned.body as { agent: { id: string } }).agent;
      expect(kill.subjects).toEqual([{ kind: 'agent', id }]);
    } finally {
      await sql.query('ROLLBACK');
    }
  });

  describe('that somebody makes by hand', () => {
    let point: HandDrivenPoint;

    beforeAll(async () => {
      const [row] = (await sql.query<{ id: string }>('SELECT id FROM tenant LIMIT 1')).rows;
      const enrol = plane.plane.app.get(Enrol, { strict: false });
      point = await HandDrivenPoint.enrolWith(enrol, row?.id ?? '', { name: 'by-hand' });
    });
    afterAll(() => point.close());

    const record = (more: Partial<CallRecord> = {}): CallRecord => ({
      ...{ id: newId('call'), started_at: Date.now(), duration_ms: 1 },
      ...{ chain: [newId('agent')], initiator: newId('initiator'), tasks: [] },
      ...{ credential: newId('credential'), tool: 'files/by-hand' },
      ...{ decision: 'allow', stale: false, outcome: 'completed', bytes_in: 0, bytes_out: 0 },
      ...more,
    });
    const batch = (records: unknown[], more: object = {}) =>
      point.sign('call', { ep: point.id, boot_id: point.bootId, records, ...more });
    const send = async (jws: string): Promise<CallReply> => {
      const subject = `sever.v1.call.${point.tenant}.${point.id}`;
      return JSON.parse((await point.nats.request(subject, jws)).string()) as CallReply;
    };
    const post = (jws: string, key = point.enrolled.access_key) =>
      plane.call('POST', '/v1/stream/calls', {
        key,
        body: jws,
        headers: { 'content-type': 'application/jose' },
      });

    it('are kept once, however often and by whatever road they come', async () => {
      const jws = await batch([record(), record()]);
      expect(await send(jws)).toEqual({
        ...{ type: 'calls-taken', v: 1, stored: 2, known: 0, outside: 0 },
      });
      expect(await send(jws)).toMatchObject({ stored: 0, known: 2 });
      expect((await post(jws)).body).toMatchObject({ type: 'calls-taken', stored: 0, known: 2 });
    });

    it('for another tenant, in another name, changed, malformed or too large are refused and change nothing', async () => {
      const count = async () =>
        Number(
          (await sql.query<{ n: string }>('SELECT count(*) AS n FROM call_record')).rows[0]?.n,
        );
      const before = await count();
      const whole = await batch([record()]);
      const [header, , signature] = whole.split('.');
      const changed = Buffer.from(JSON.stringify({ type: 'call', v: 1 })).toString('base64url');
      for (const jws of [
        await batch([record()], { tenant: newId('tenant') }),
        await batch([record()], { ep: newId('enforcementPoint') }),
        `${header}.${changed}.${signature}`,
        await batch([record({ tool: 'nul\u0000' })]),
        await batch([{ ...record(), decision: 'perhaps' }]),
        await batch([]),
        'nonsense',
      ])
        expect(await send(jws)).toMatchObject({ type: 'calls-refused', code: 'malformed' });
      const large = await batch(
        Array.from({ length: 500 }, () => record({ path: 'x'.repeat(600) })),
      );
      expect(await send(large)).toMatchObject({ type: 'calls-refused', code: 'too_large' });
      expect(await count()).toBe(before);
      const { text } = await plane.call('GET', '/metrics');
      expect(text).toMatch(/sever_call_batches_refused_total\{code="malformed"\} [7-9]/);
    });

    it('of a time that is not kept are left out, the others of the batch are not', async () => {
      const found = await send(
        await batch([
          record({ started_at: Date.now() - 40 * DAY_MS }),
          record({ started_at: Date.now() + 5 * DAY_MS }),
          record({ started_at: Date.now() - 20 * DAY_MS }),
          record(),
        ]),
      );
      expect(found).toMatchObject({ type: 'calls-taken', stored: 2, outside: 2 });
    });

    it('are taken from nobody without the key of an enforcement point', async () => {
      expect((await post(await batch([record()]), plane.key)).status).toBe(403);
      expect((await post(await batch([record()]), '')).status).toBe(401);
    });
  });

  it('of one tenant are nothing to another, whatever it asks for', async () => {
    const heidi = await family('heidi@calls.test');
    const point = await connected('tenants');
    await call(point, heidi.token, 'files/read');
    await eventually(async () =>
      expect(await list({ initiator: 'heidi@calls.test' })).toHaveLength(1),
    );
    const tenant = newId('tenant');
    const key = newSecretKey('api');
    await sql.query(`INSERT INTO tenant (id, name) VALUES ($1, $1)`, [tenant]);
    const principal = newId('principal');
    await sql.query(
      `INSERT INTO principal (tenant, id, role, name) VALUES ($1, $2, 'auditor', 'other')`,
      [tenant, principal],
    );
    await sql.query(
      `INSERT INTO api_key (tenant, id, principal_id, role, name, hash, expires_at)
       VALUES ($1, $2, $3, 'auditor', 'other', $4, now() + interval '1 day')`,
      [tenant, newId('apiKey'), principal, hashSecretKey(key)],
    );
    for (const query of [
      {},
      { initiator: 'heidi@calls.test' },
      { initiator: heidi.initiator },
      { agent: heidi.leaf },
      { under: heidi.root },
    ])
      expect(await list(query as Record<string, string>, key)).toEqual([]);
  });

  it('are not for who runs the place, nor for agents and services', async () => {
    for (const role of ['admin', 'service'] as const) {
      const { key } = await plane.client.createApiKey({ role, name: role });
      expect((await plane.call('GET', '/v1/calls', { key })).status).toBe(403);
    }
  });

  it.each([
    'agent=agt_1',
    'initiator=',
    'trace_id=xyz',
    'decision=maybe',
    'limit=501',
    'cursor=abc',
    'nonsense=1',
  ])('asked for with %s are refused with what is wrong', async (query) => {
    const reply = await plane.call('GET', `/v1/calls?${query}`);
    expect(reply).toMatchObject({ status: 400, body: { code: 'bad_request' } });
  });
});
