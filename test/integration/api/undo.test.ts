import { newId, type Kill, type SpawnReply } from '@sever/protocol';
import { Client } from 'pg';
import { eventually } from '../../support/eventually';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';

describe('suspending, lifting, escalating, reinstating', () => {
  let plane: TestControlPlane;
  const keys: Record<string, string> = {};

  const root = (name = 'root'): Promise<SpawnReply> =>
    plane.client.spawn({ name, initiator: { subject: 'alice@example.com' } });
  const post = async (path: string, body: object, key = plane.key) => {
    const { status, body: answer } = await plane.call('POST', path, { key, body });
    return {
      status,
      body: answer as unknown as Kill & { code?: string; detail?: string; kill_ids?: string[] },
    };
  };
  const order = (agentId: string, more: object = {}, key = plane.key) =>
    post(
      '/v1/kills?wait=0',
      { subject: { kind: 'agent', id: agentId }, reason: 'a test', ...more },
      key,
    );
  const query = async (sql: string): Promise<void> => {
    const client = new Client({ connectionString: plane.database.url });
    await client.connect();
    await client.query(sql).finally(() => client.end());
  };
  const stateOf = async (id: string) => (await plane.client.getAgent(id)).state;
  const reinstate = (agentId: string, body: object, key = keys.lead) =>
    post(`/v1/subjects/agent/${agentId}/reinstate`, { reason: 'a mistake', ...body }, key);

  beforeAll(async () => {
    plane = await startTestControlPlane();
    for (const [name, role] of [
      ['responder', 'responder'],
      ['other', 'responder'],
      ['lead', 'lead'],
      ['secondLead', 'lead'],
    ] as const)
      keys[name] = (await plane.client.createApiKey({ role, name })).key;
  });
  afterAll(() => plane.close());

  it('shows a suspension, and filters lists by it', async () => {
    const [held, free] = [await root(), await root()];
    const child = await plane.client.as(held.credential.token).spawn({ name: 'child' });
    const { body } = await post(
      `/v1/agents/${held.agent.id}/suspend?wait=0`,
      { reason: 'looking into it', expires_in: '1h' },
      keys.responder,
    );
    expect(body).toMatchObject({ action: 'suspend', level: 'deny_all', lifted: null });
    expect(Date.parse(body.expires_at as string) - Date.parse(body.created_at)).toBe(3_600_000);
    expect(await plane.client.getAgent(child.agent.id)).toMatchObject({
      state: 'suspended',
      because: { kill_id: body.id, action: 'suspend', level: 'deny_all' },
    });
    const suspended = (await plane.client.listAgents({ state: 'suspended' })).items;
    expect(suspended.map(({ id }) => id)).toEqual(
      expect.arrayContaining([held.agent.id, child.agent.id]),
    );
    const active = (await plane.client.listAgents({ state: 'active' })).items.map(({ id }) => id);
    expect(active).toContain(free.agent.id);
    expect(active).not.toContain(held.agent.id);
    expect((await post(`/v1/kills/${body.id}/lift`, { reason: 'fine' }, keys.lead)).status).toBe(
      200,
    );
    expect(await stateOf(child.agent.id)).toBe('active');
  });

  it('lets the responder who suspended undo it, and nobody else but a lead', async () => {
    const { agent } = await root();
    const { body: kill } = await order(agent.id, { action: 'suspend' }, keys.responder);
    const lift = (key: string | undefined) =>
      post(`/v1/kills/${kill.id}/lift`, { reason: 'undone' }, key);
    expect(await lift(keys.other)).toMatchObject({ status: 403, body: { code: 'forbidden' } });
    expect(await stateOf(agent.id)).toBe('suspended');
    expect((await lift(keys.responder)).body).toMatchObject({
      lifted: { by: { name: 'responder' } },
    });
    expect(await stateOf(agent.id)).toBe('active');
    expect((await lift(keys.responder)).status).toBe(200);
  });

  it('closes the window for undoing when the tenant says so; a lead goes on', async () => {
    const { agent } = await root();
    const { body: kill } = await order(agent.id, { action: 'suspend' }, keys.responder);
    await query(`UPDATE tenant SET undo_window_ms = 0`);
    try {
      const late = await post(`/v1/kills/${kill.id}/lift`, { reason: 'x' }, keys.responder);
      expect(late).toMatchObject({ status: 403, body: { code: 'forbidden' } });
      expect((await post(`/v1/kills/${kill.id}/lift`, { reason: 'x' }, keys.lead)).status).toBe(
        200,
      );
    } finally {
      await query(`UPDATE tenant SET undo_window_ms = 900000`);
    }
  });

  it('lifts a suspension by itself when its time is over, and no earlier', async () => {
    const [short, long] = [await root(), await root()];
    const { body: kill } = await order(short.agent.id, { action: 'suspend', expires_in: '1s' });
    await order(long.agent.id, { action: 'suspend', expires_in: '1h' });
    expect(await stateOf(short.agent.id)).toBe('suspended');
    await eventually(async () => expect(await stateOf(short.agent.id)).toBe('active'), {
      timeoutMs: 10_000,
    });
    const lifted = (await plane.client.getKill(kill.id)).lifted;
    expect(lifted).toMatchObject({ by: { name: 'expiry' } });
    expect(Date.parse(lifted?.at as string)).toBeGreaterThanOrEqual(
      Date.parse(kill.expires_at as string),
    );
    expect(await stateOf(long.agent.id)).toBe('suspended');
  });

  it('refuses to lift a kill, and to lift what is not there', async () => {
    const { agent } = await root();
    const { body: kill } = await order(agent.id);
    expect(await post(`/v1/kills/${kill.id}/lift`, { reason: 'x' }, keys.lead)).toMatchObject({
      status: 409,
      body: { code: 'not_a_suspension' },
    });
    const unknown = await post(`/v1/kills/${newId('kill')}/lift`, { reason: 'x' }, keys.lead);
    expect(unknown.status).toBe(404);
    expect(await post(`/v1/kills/${kill.id}/lift`, { reason: ' ' }, keys.lead)).toMatchObject({
      status: 422,
    });
    expect(await stateOf(agent.id)).toBe('killed');
  });

  it('holds spawns alone with deny_spawn: the agent itself goes on', async () => {
    const { agent, credential } = await root();
    const { body: kill } = await order(agent.id, { action: 'suspend', level: 'deny_spawn' });
    const asAgent = plane.client.as(credential.token);
    await expect(asAgent.spawn({ name: 'child' })).rejects.toMatchObject({
      problem: { code: 'ancestor_suspended', kill_id: kill.id },
    });
    expect((await asAgent.mint(agent.id)).credential.id).toMatch(/^crd_/);
    expect((await asAgent.getAgent(agent.id)).because).toMatchObject({ level: 'deny_spawn' });
    await post(`/v1/kills/${kill.id}/lift`, { reason: 'x' });
    expect((await asAgent.spawn({ name: 'child' })).agent.parent_id).toBe(agent.id);
  });

  it('holds writes with deny_writes: a spawn is one, a renewal is none', async () => {
    const { agent, credential } = await root();
    const { body: kill } = await order(agent.id, { action: 'suspend', level: 'deny_writes' });
    const asAgent = plane.client.as(credential.token);
    await expect(asAgent.spawn({ name: 'child' })).rejects.toMatchObject({
      problem: { code: 'ancestor_suspended', kill_id: kill.id },
    });
    expect((await asAgent.mint(agent.id)).credential.id).toMatch(/^crd_/);
    expect((await asAgent.getAgent(agent.id)).because).toMatchObject({ level: 'deny_writes' });
  });

  it('holds tools with deny_tools, however they are written; spawning and renewing go on', async () => {
    const { agent, credential } = await root();
    const asAgent = plane.client.as(credential.token);
    const level = 'deny_tools:[git/push,git/force_*]';
    for (const asked of [level, { deny_tools: ['git/push', 'git/force_*'] }]) {
      const { body } = await order(agent.id, { action: 'suspend', level: asked });
      expect((await plane.client.getKill(body.id)).level).toBe(level);
    }
    expect((await asAgent.spawn({ name: 'child' })).agent.parent_id).toBe(agent.id);
    expect((await asAgent.mint(agent.id)).credential.id).toMatch(/^crd_/);
  });

  it.each(['deny_tools:[]', 'deny_tools:[push]', 'deny_mondays', 'deny_tools:[a/*b]'])(
    'refuses the level %s, says which there are, and changes nothing',
    async (level) => {
      const { agent } = await root();
      const { status, body } = await order(agent.id, { action: 'suspend', level });
      expect({ status, code: body.code }).toEqual({ status: 422, code: 'bad_level' });
      expect(body.detail).toContain('deny_writes');
      expect(await stateOf(agent.id)).toBe('active');
    },
  );

  it('makes a kill of a suspension, under its own id', async () => {
    const [victim, twin] = [await root(), await root()];
    const { body: suspended } = await order(victim.agent.id, { action: 'suspend' });
    const path = `/v1/kills/${suspended.id}/escalate?wait=0`;
    const { status, body } = await post(path, { reason: 'it is worse' }, keys.responder);
    expect([202, 200]).toContain(status);
    expect(body).toMatchObject({
      id: suspended.id,
      action: 'kill',
      escalated: { reason: 'it is worse', by: { name: 'responder' } },
    });
    expect(await stateOf(victim.agent.id)).toBe('killed');
    expect(await stateOf(twin.agent.id)).toBe('active');
    const lift = await post(`/v1/kills/${suspended.id}/lift`, { reason: 'x' }, keys.lead);
    expect(lift).toMatchObject({ status: 409, body: { code: 'not_a_suspension' } });
    // Once more changes nothing; neither of the two who ordered it may release it.
    expect((await post(path, { reason: 'again' })).body.id).toBe(suspended.id);
    const released = await reinstate(victim.agent.id, { kill_id: suspended.id });
    expect(released.status).toBe(200);
    expect(await stateOf(victim.agent.id)).toBe('active');
  });

  it('refuses to escalate what was lifted, and what can only be suspended', async () => {
    const { agent } = await root();
    const { body: first } = await order(agent.id, { action: 'suspend' });
    await post(`/v1/kills/${first.id}/lift`, { reason: 'x' });
    expect(await post(`/v1/kills/${first.id}/escalate`, { reason: 'x' })).toMatchObject({
      status: 409,
      body: { code: 'not_a_suspension' },
    });
    expect(await stateOf(agent.id)).toBe('active');
    const { body: tool } = await post('/v1/kills?wait=0', {
      subject: { kind: 'tool', id: 'files/read' },
      action: 'suspend',
      reason: 'x',
    });
    expect((await post(`/v1/kills/${tool.id}/escalate`, { reason: 'x' })).status).toBe(422);
  });

  it('reinstates only by a second person who names every standing kill', async () => {
    const { agent } = await root();
    const { body: first } = await order(agent.id, {}, keys.lead);
    expect(await reinstate(agent.id, {})).toMatchObject({ status: 422 });
    expect(await reinstate(agent.id, { kill_id: first.id })).toMatchObject({
      status: 403,
      body: { code: 'second_person_required' },
    });
    const { body: second } = await order(agent.id, {}, keys.responder);
    expect(await reinstate(agent.id, { kill_id: first.id }, keys.secondLead)).toMatchObject({
      status: 409,
      body: { code: 'other_kills_stand', kill_ids: [first.id, second.id] },
    });
    const elsewhere = (await order((await root()).agent.id)).body;
    const wrong = { kill_ids: [first.id, second.id, elsewhere.id] };
    expect(await reinstate(agent.id, wrong, keys.secondLead)).toMatchObject({
      status: 412,
      body: { code: 'not_a_kill_of_it' },
    });
    expect(await stateOf(agent.id)).toBe('killed');
    const both = { kill_ids: [first.id, second.id] };
    expect((await reinstate(agent.id, both, keys.responder)).status).toBe(403);
    expect((await reinstate(agent.id, both, keys.secondLead)).status).toBe(200);
    expect(await stateOf(agent.id)).toBe('active');
    expect(await reinstate(agent.id, both, keys.secondLead)).toMatchObject({
      status: 409,
      body: { code: 'not_killed' },
    });
  });

  it('brings back exactly the named agent, and not under a dead ancestor', async () => {
    const top = await root();
    const middle = await plane.client.as(top.credential.token).spawn({ name: 'middle' });
    const leaf = await plane.client.as(middle.credential.token).spawn({ name: 'leaf' });
    const { body: lower } = await order(middle.agent.id);
    const { body: upper } = await order(top.agent.id);
    expect(await reinstate(middle.agent.id, { kill_id: lower.id })).toMatchObject({
      status: 409,
      body: { code: 'ancestor_revoked', kill_id: upper.id },
    });
    expect((await reinstate(top.agent.id, { kill_id: upper.id })).status).toBe(200);
    expect(await stateOf(top.agent.id)).toBe('active');
    // The old child carries the old generation of its parent: it stays dead for ever.
    expect(await stateOf(middle.agent.id)).toBe('killed');
    expect(await stateOf(leaf.agent.id)).toBe('killed');
    expect((await plane.client.as(plane.key).mint(top.agent.id)).credential.id).toMatch(/^crd_/);
    await expect(plane.client.mint(middle.agent.id)).rejects.toMatchObject({ status: 409 });
    expect(await reinstate(middle.agent.id, { kill_id: lower.id })).toMatchObject({ status: 409 });
  });

  it('holds new roots of the same service and initiator, and says who came back', async () => {
    const { agent } = await root();
    const { body: kill } = await order(agent.id, { hold: '1h' });
    expect(kill.hold_until).toEqual(expect.any(String));
    await expect(root()).rejects.toMatchObject({
      problem: { code: 'ancestor_suspended', kill_id: kill.id },
    });
    const other = await plane.client.spawn({
      name: 'r',
      initiator: { subject: 'bob@example.com' },
    });
    expect(other.agent.state).toBe('active');
    const service = await plane.client.createApiKey({ role: 'service', name: 'another service' });
    const elsewhere = await plane.client
      .as(service.key)
      .spawn({ name: 'r', initiator: { subject: 'alice@example.com' } });
    expect(elsewhere.agent.state).toBe('active');
    await eventually(async () =>
      expect((await plane.client.getKill(kill.id)).refused_since).toBeGreaterThanOrEqual(1),
    );
    expect((await plane.client.getKill(kill.id)).came_back).toEqual({ agents: 0, ids: [] });
    await reinstate(agent.id, { kill_id: kill.id });
    const again = await root('again');
    expect((await plane.client.getKill(kill.id)).came_back).toEqual({
      agents: 1,
      ids: [again.agent.id],
    });
  });
});
