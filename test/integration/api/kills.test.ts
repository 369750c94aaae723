import { newId, type SpawnReply } from '@sever/protocol';
import { eventually } from '../../support/eventually';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';

describe('kills over the API, with nobody to enforce them', () => {
  let plane: TestControlPlane;
  const root = (): Promise<SpawnReply> =>
    plane.client.spawn({ name: 'root', initiator: { subject: 'alice@example.com' } });
  const childOf = (parent: SpawnReply): Promise<SpawnReply> =>
    plane.client.as(parent.credential.token).spawn({ name: 'child' });
  const subject = (id: string) => ({ kind: 'agent', id });

  beforeAll(async () => {
    plane = await startTestControlPlane();
  });
  afterAll(() => plane.close());

  it('answers 202 committed with a warning, and never calls it contained', async () => {
    const { agent } = await root();
    const reply = await plane.call('POST', '/v1/kills?wait=300ms', {
      body: { subject: subject(agent.id), reason: 'looping', ticket: 'INC-7' },
    });
    expect(reply.status).toBe(202);
    expect(reply.body).toMatchObject({
      state: 'committed',
      action: 'kill',
      subject: subject(agent.id),
      subjects: [subject(agent.id)],
      reason: 'looping',
      ticket: 'INC-7',
      warnings: ['no_enforcement_points'],
      containment: {
        required: 0,
        enforced: 0,
        dark: 0,
        pending: [],
        nack: [],
        unknown: [],
        latency_ms: null,
      },
    });
    expect(reply.body.stream_token).toMatch(/^1\.\d+$/);
    expect((await plane.client.getKill(reply.body.id as string)).state).toBe('committed');
  });

  it('takes the runbook line whatever the content type says', async () => {
    for (const contentType of [
      'application/json',
      'application/x-www-form-urlencoded',
      'text/plain',
    ]) {
      const { agent } = await root();
      const reply = await plane.call('POST', `/v1/agents/${agent.id}/kill?wait=0`, {
        body: '{"reason":"03:12, it is deleting things"}',
        headers: { 'content-type': contentType },
      });
      expect(reply.status).toBe(202);
      expect((await plane.client.getAgent(agent.id)).state).toBe('killed');
    }
    const elsewhere = await plane.call('POST', '/v1/agents', {
      body: '{}',
      headers: { 'content-type': 'text/plain' },
    });
    expect(elsewhere.status).toBe(415);
  });

  it('enumerates the cascade afterwards, for the record', async () => {
    const parent = await root();
    const child = await childOf(parent);
    const below = await childOf(child);
    const kill = await plane.client.killAgent(child.agent.id, { reason: 'x' }, { waitMs: 0 });
    const done = await eventually(async () => {
      const seen = await plane.client.getKill(kill.id);
      expect(seen.cascade.state).toBe('done');
      return seen;
    });
    expect(done.cascade).toEqual({ state: 'done', agents: 2, credentials: 2 });
    const members = (await plane.client.cascade(kill.id)).items;
    expect(
      members
        .filter(({ kind }) => kind === 'agent')
        .map(({ id }) => id)
        .sort(),
    ).toEqual([child.agent.id, below.agent.id].sort());
    expect(new Set(members.map(({ state }) => state))).toEqual(new Set(['killed']));
    expect(
      (await plane.client.listAgents({ root: parent.agent.id, state: 'active' })).items,
    ).toHaveLength(1);
  });

  it('kills several subjects under one id, an entry for each, and lists those that it does not know', async () => {
    const [one, two, spared] = [await root(), await root(), await root()];
    const unknown = subject(newId('agent'));
    const kill = await plane.client.kill(
      {
        subjects: [subject(one.agent.id), unknown, { kind: 'credential', id: two.credential.id }],
        reason: 'x',
      },
      { waitMs: 0 },
    );
    expect(kill.not_found).toEqual([unknown]);
    expect((await plane.client.getAgent(one.agent.id)).state).toBe('killed');
    expect((await plane.client.getAgent(two.agent.id)).state).toBe('active');
    await expect(plane.client.as(two.credential.token).listAgents()).rejects.toMatchObject({
      problem: { code: 'agent_revoked', kill_id: kill.id },
    });
    expect((await plane.client.as(spared.credential.token).listAgents()).items).toHaveLength(1);
  });

  it('answers the same kill to the same Idempotency-Key, and refuses the key for another order', async () => {
    const [one, two] = [await root(), await root()];
    const send = (body: object, key = 'page-42') =>
      plane.call('POST', '/v1/kills?wait=0', { body, headers: { 'idempotency-key': key } });
    const order = { subject: subject(one.agent.id), reason: 'x' };
    const replies = await Promise.all(Array.from({ length: 12 }, () => send(order)));
    expect(new Set(replies.map(({ body }) => body.id)).size).toBe(1);
    expect((await send({ reason: 'x', subject: subject(one.agent.id) })).body.id).toBe(
      replies[0]?.body.id,
    );
    expect(await send({ subject: subject(two.agent.id), reason: 'x' })).toMatchObject({
      status: 422,
      body: { code: 'idempotency_mismatch' },
    });
    expect((await plane.client.getAgent(two.agent.id)).state).toBe('active');
    expect((await send(order, 'é')).status).toBe(400);
    const other = await plane.client.createApiKey({ role: 'responder', name: 'other' });
    const others = await plane.call('POST', '/v1/kills?wait=0', {
      key: other.key,
      body: order,
      headers: { 'idempotency-key': 'page-42' },
    });
    expect(others.body.id).not.toBe(replies[0]?.body.id);
  });

  it('records a repeated kill under an id of its own', async () => {
    const { agent } = await root();
    const [first, second] = [
      await plane.client.killAgent(agent.id, { reason: 'first' }, { waitMs: 0 }),
      await plane.client.killAgent(agent.id, { reason: 'second' }, { waitMs: 0 }),
    ];
    expect(second.id).not.toBe(first.id);
    expect((await plane.client.getAgent(agent.id)).because?.kill_id).toBe(first.id);
    const listed = await plane.client.listKills({ subject: `agent:${agent.id}` });
    expect(listed.items.map(({ id }) => id)).toEqual([second.id, first.id]);
  });

  it('commits a hundred kills that come at once, each once and each its own', async () => {
    const roots = await Promise.all(Array.from({ length: 100 }, root));
    const survivor = await root();
    const kills = await Promise.all(
      roots.map(({ agent }) =>
        plane.client.killAgent(agent.id, { reason: 'storm' }, { waitMs: 0 }),
      ),
    );
    expect(new Set(kills.map(({ stream_token }) => stream_token)).size).toBe(100);
    const states = await Promise.all(roots.map(({ agent }) => plane.client.getAgent(agent.id)));
    expect(new Set(states.map(({ state }) => state))).toEqual(new Set(['killed']));
    expect((await plane.client.getAgent(survivor.agent.id)).state).toBe('active');
  });

  it('lets a service and an agent kill below themselves only', async () => {
    const service = await plane.client.createApiKey({ role: 'service', name: 'orchestrator' });
    const foreign = await root();
    await expect(
      plane.client.as(service.key).killAgent(foreign.agent.id, { reason: 'x' }),
    ).rejects.toMatchObject({
      problem: { code: 'not_a_descendant', status: 403 },
    });
    const own = await plane.client
      .as(service.key)
      .spawn({ name: 'own', initiator: { subject: 'bob' } });
    const child = await childOf(own);
    await expect(
      plane.client.as(child.credential.token).killAgent(own.agent.id, { reason: 'x' }),
    ).rejects.toMatchObject({ problem: { code: 'not_a_descendant', status: 403 } });
    await plane.client
      .as(child.credential.token)
      .killAgent(child.agent.id, { reason: 'I am wrong' }, { waitMs: 0 });
    expect((await plane.client.getAgent(own.agent.id)).state).toBe('active');
    await plane.client.as(service.key).killAgent(own.agent.id, { reason: 'x' }, { waitMs: 0 });
    expect((await plane.client.getAgent(own.agent.id)).state).toBe('killed');
    expect((await plane.client.getAgent(foreign.agent.id)).state).toBe('active');
  });

  it.each([
    ['no reason', { reason: '' }, 422],
    ['a reason of spaces', { reason: '   ' }, 422],
    ['a reason over 1 KB', { reason: 'x'.repeat(1_025) }, 422],
    ['an expiry of what is final', { reason: 'x', expires_in: '1h' }, 422],
    ['an unknown field', { reason: 'x', force: true }, 400],
    ['both subject and subjects', { reason: 'x', subjects: [subject(newId('agent'))] }, 400],
    ['a prototype', '{"reason":"x","__proto__":{}}', 400],
    ['a member twice', '{"reason":"x","reason":"y"}', 400],
    ['half a body', '{"reason":', 400],
    ['an id of another form', { reason: 'x', subject: subject('agt_../x') }, 400],
    ['an id with a wildcard', { reason: 'x', subject: subject('agt_*') }, 400],
    ['an unknown kind', { reason: 'x', subject: { kind: 'galaxy', id: 'x' } }, 422],
    ['an unknown agent', { reason: 'x', subject: subject(newId('agent')) }, 404],
    ['a hold without a kill', { reason: 'x', action: 'suspend', hold: '15m' }, 422],
    ['a hold without end', { reason: 'x', hold: '9999d' }, 422],
    ['a time that is none', { reason: 'x', action: 'suspend', expires_in: 'soon' }, 400],
    ['an expiry of a kill', { reason: 'x', expires_in: '1h' }, 422],
    ['a level that nobody knows', { reason: 'x', action: 'suspend', level: 'deny_some' }, 422],
    ['a level of a kill', { reason: 'x', level: 'deny_all' }, 422],
  ])('refuses %s and changes nothing', async (_, change, status) => {
    const { agent } = await root();
    const body = typeof change === 'string' ? change : { subject: subject(agent.id), ...change };
    const before = (await plane.client.listKills({ limit: 1 })).items[0]?.id;
    const reply = await plane.call('POST', '/v1/kills?wait=0', { body });
    expect(reply.status).toBe(status);
    expect(reply.headers.get('content-type')).toMatch('application/problem+json');
    expect(reply.body).toMatchObject({
      status,
      type: `urn:sever:problem:${String(reply.body.code)}`,
    });
    expect((await plane.client.listKills({ limit: 1 })).items[0]?.id).toBe(before);
    expect((await plane.client.getAgent(agent.id)).state).toBe('active');
  });

  it.each(['1', '5m', '-1s', '1e3ms', 'soon', ' 1s'])('refuses to wait for "%s"', async (wait) => {
    const { agent } = await root();
    const path = `/v1/agents/${agent.id}/kill?wait=${encodeURIComponent(wait)}`;
    expect((await plane.call('POST', path, { body: { reason: 'x' } })).status).toBe(400);
    expect((await plane.client.getAgent(agent.id)).state).toBe('active');
  });

  it('keeps an odd reason as it is', async () => {
    const { agent } = await root();
    const reason = 'line\r\nline \u001b[31m \u202e {"a":1} é 字';
    const kill = await plane.client.killAgent(agent.id, { reason }, { waitMs: 0 });
    expect((await plane.client.getKill(kill.id)).reason).toBe(reason);
  });

  it('refuses what the database cannot keep, wherever it stands, and stops nothing for it', async () => {
    const { agent } = await root();
    const path = `/v1/agents/${agent.id}/kill?wait=0`;
    const headers = { 'content-type': 'application/json' };
    for (const odd of ['\\u0000', '\\ud800', '\\udc00\\ud800'])
      expect(
        await plane.call('POST', path, { headers, body: `{"reason":"a${odd}b"}` }),
      ).toMatchObject({ status: 400, body: { code: 'bad_request' } });
    for (const query of ['/v1/agents?q=a%00b', '/v1/kills?subject=agent:%00'])
      expect(await plane.call('GET', query)).toMatchObject({ status: 400 });
    expect((await plane.client.getAgent(agent.id)).state).toBe('active');
    const pair = await plane.call('POST', path, { headers, body: '{"reason":"\\ud83d\\ude00"}' });
    expect(pair).toMatchObject({ status: 202, body: { reason: '😀' } });
  });
});
