import { newId, type SpawnReply } from '@sever/protocol';
import { decodeJwt } from 'jose';
import { Client } from 'pg';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';
import { eventually } from '../../support/eventually';

const alice = { subject: 'alice@example.com' };

describe('agents over the API', () => {
  let plane: TestControlPlane;
  const root = (more: object = {}): Promise<SpawnReply> =>
    plane.client.spawn({ name: 'root', initiator: alice, scopes: ['tool:github/*'], ...more });
  const childOf = (parent: SpawnReply, more: object = {}): Promise<SpawnReply> =>
    plane.client.as(parent.credential.token).spawn({ name: 'child', ...more });

  beforeAll(async () => {
    plane = await startTestControlPlane();
  });
  afterAll(() => plane.close());

  it('spawns a root for a human with a token that carries the whole lineage', async () => {
    const { agent, credential } = await root({ task: { name: 'triage' }, labels: { team: 'red' } });
    expect(agent).toMatchObject({
      depth: 0,
      parent_id: null,
      root_id: agent.id,
      state: 'active',
      because: null,
    });
    const claims = decodeJwt(credential.token) as {
      lin: [string, number][];
      sub: string;
      iat: number;
      exp: number;
    };
    expect(claims.lin.map(([subject]) => subject.split(':')[0])).toEqual([
      'tenant',
      'service',
      'initiator',
      'task',
      'label',
      'agent',
      'grant',
      'family',
      'credential',
    ]);
    expect(claims).toMatchObject({
      sub: agent.id,
      jti: credential.id,
      aud: 'sever',
      scope: 'tool:github/*',
    });
    expect(claims.exp - claims.iat).toBeLessThanOrEqual(15 * 60);
  });

  it('gives a child nothing by default, a part of what the parent holds if asked, and never more', async () => {
    const parent = await root();
    expect((await childOf(parent)).agent.scopes).toEqual([]);
    const some = await childOf(parent, { scopes: ['tool:github/create_issue'] });
    expect(some.credential.scopes).toEqual(['tool:github/create_issue']);
    for (const scopes of [['tool:*'], ['tool:gitlab/x'], ['tool:github/*', 'http:GET:billing/*']])
      await expect(childOf(parent, { scopes })).rejects.toMatchObject({
        problem: { code: 'scope_exceeds_parent', status: 403 },
      });
  });

  it('keeps labels, the initiator and the task on the way down', async () => {
    const parent = await root({ task: { name: 't' }, labels: { team: 'red' } });
    const child = await childOf(parent, { labels: { job: '7' } });
    expect(child.agent).toMatchObject({
      labels: { team: 'red', job: '7' },
      task_id: parent.agent.task_id,
      initiator: parent.agent.initiator,
      root_id: parent.agent.id,
      depth: 1,
    });
    await expect(childOf(parent, { labels: { team: 'blue' } })).rejects.toMatchObject({
      problem: { status: 422 },
    });
  });

  it('clamps the life of a child to what is left of its parent, and refuses more when it is asked for', async () => {
    const parent = await root({ ttl_seconds: 60 });
    const child = await childOf(parent);
    expect(Date.parse(child.agent.expires_at)).toBeLessThanOrEqual(
      Date.parse(parent.agent.expires_at),
    );
    expect(Date.parse(child.credential.expires_at)).toBeLessThanOrEqual(
      Date.parse(child.agent.expires_at),
    );
    await expect(childOf(parent, { ttl_seconds: 3_600 })).rejects.toMatchObject({
      problem: { code: 'bad_ttl', status: 422 },
    });
    for (const ttl_seconds of [0, -1, 1e300])
      await expect(root({ ttl_seconds })).rejects.toMatchObject({ problem: { status: 422 } });
  });

  it('stops the tree at its depth and its number of children', async () => {
    const parent = await root({ max_depth: 1, max_children: 2 });
    const child = await childOf(parent);
    await expect(childOf(child)).rejects.toMatchObject({
      problem: { code: 'too_deep', status: 422 },
    });
    await childOf(parent);
    await expect(childOf(parent)).rejects.toMatchObject({
      problem: { code: 'too_many_children', status: 422 },
    });
  });

  it('counts no child that was refused for a dead label', async () => {
    const parent = await root({ max_children: 1 });
    const admin = new Client({ connectionString: plane.database.url });
    await admin.connect();
    await admin.query(
      `INSERT INTO subject (tenant, subject, floor, floor_order, floor_action, floored_at)
       SELECT tenant, 'label:team:dead', 2, $2, 'kill', now() FROM agent WHERE id = $1`,
      [parent.agent.id, newId('kill')],
    );
    await admin.end();
    await expect(childOf(parent, { labels: { team: 'dead' } })).rejects.toMatchObject({
      problem: { code: 'ancestor_revoked' },
    });
    expect((await childOf(parent)).agent.depth).toBe(1);
    await expect(childOf(parent)).rejects.toMatchObject({
      problem: { code: 'too_many_children' },
    });
  });

  it('finds agents by what is known of them, and shows a tree depth first', async () => {
    const parent = await root({
      name: 'findable',
      labels: { team: 'green' },
      refs: { pod: 'web-17' },
    });
    const first = await childOf(parent, { name: 'first' });
    const below = await childOf(first, { name: 'below' });
    const second = await childOf(parent, { name: 'second' });
    for (const query of [{ q: 'web-17' }, { ref: 'pod:web-17' }, { q: parent.agent.id }])
      expect((await plane.client.listAgents(query)).items.map(({ id }) => id)).toEqual([
        parent.agent.id,
      ]);
    expect((await plane.client.listAgents({ label: 'team:green' })).items).toHaveLength(4);
    expect(
      (await plane.client.listAgents({ root: parent.agent.id, limit: 3 })).next_cursor,
    ).not.toBeNull();
    const tree = await plane.client.tree(parent.agent.id);
    expect(tree.items.map(({ id, depth }) => [id, depth])).toEqual([
      [parent.agent.id, 0],
      [first.agent.id, 1],
      [below.agent.id, 2],
      [second.agent.id, 1],
    ]);
  });

  it('mints what the agent holds or a part of it, to the agent itself and to the service of its root alone', async () => {
    const agent = await root();
    const service = await plane.client.createApiKey({ role: 'service', name: 'another' });
    const own = plane.client.as(agent.credential.token);
    expect(
      (await own.mint(agent.agent.id, { scopes: ['tool:github/x'] })).credential.scopes,
    ).toEqual(['tool:github/x']);
    expect((await plane.client.mint(agent.agent.id)).credential.scopes).toEqual(['tool:github/*']);
    await expect(own.mint(agent.agent.id, { scopes: ['tool:*'] })).rejects.toMatchObject({
      problem: { code: 'scope_exceeds_agent' },
    });
    // Whatever scopes it asks for: another answer would tell what the agent holds.
    for (const asked of [{}, { scopes: ['tool:github/x'] }, { scopes: ['tool:*'] }])
      await expect(plane.client.as(service.key).mint(agent.agent.id, asked)).rejects.toMatchObject({
        problem: { status: 404 },
      });
    const child = await childOf(agent);
    await expect(own.mint(child.agent.id)).rejects.toMatchObject({ problem: { status: 403 } });
  });

  it('lets a token for tools neither spawn, mint, kill nor complete', async () => {
    const agent = await root();
    const { credential } = await plane.client
      .as(agent.credential.token)
      .mint(agent.agent.id, { use: 'tools' });
    const tools = plane.client.as(credential.token);
    await expect(tools.spawn({ name: 'x' })).rejects.toMatchObject({ problem: { status: 403 } });
    await expect(tools.mint(agent.agent.id)).rejects.toMatchObject({ problem: { status: 403 } });
    await expect(tools.killAgent(agent.agent.id, { reason: 'x' })).rejects.toMatchObject({
      problem: { status: 403 },
    });
    const complete = (token: string) =>
      plane.call('POST', `/v1/agents/${agent.agent.id}/complete`, { key: token });
    expect((await complete(credential.token)).status).toBe(403);
    expect((await plane.client.getAgent(agent.agent.id)).state).toBe('active');
    expect((await complete(agent.credential.token)).status).toBe(200);
  });

  it('refuses everything to a dead agent: 409 where it asks for authority, 403 elsewhere', async () => {
    const parent = await root();
    const child = await childOf(parent);
    const kill = await plane.client.killAgent(
      parent.agent.id,
      { reason: 'gone wrong' },
      { waitMs: 0 },
    );
    const key = child.credential.token;
    for (const [method, path] of [
      ['POST', '/v1/agents'],
      ['POST', `/v1/agents/${child.agent.id}/credentials`],
    ] as const) {
      const reply = await plane.call(method, path, { key, body: { name: 'x' } });
      expect(reply).toMatchObject({
        status: 409,
        body: { code: 'ancestor_revoked', kill_id: kill.id, terminal: true },
      });
    }
    for (const [method, path] of [
      ['GET', '/v1/agents'],
      ['GET', `/v1/agents/${child.agent.id}`],
      ['POST', `/v1/agents/${child.agent.id}/kill`],
      ['POST', `/v1/agents/${child.agent.id}/complete`],
    ] as const) {
      const reply = await plane.call(method, path, {
        key,
        ...(method === 'POST' ? { body: { reason: 'x' } } : {}),
      });
      expect(reply).toMatchObject({
        status: 403,
        body: { code: 'agent_revoked', kill_id: kill.id, terminal: true },
      });
    }
    await expect(plane.client.mint(child.agent.id)).rejects.toMatchObject({
      problem: { code: 'ancestor_revoked', status: 409 },
    });
  });

  it('derives the state of each agent from the order that ended it', async () => {
    const parent = await root();
    const child = await childOf(parent);
    const other = await root();
    const done = await root();
    await plane.client.complete(done.agent.id);
    const kill = await plane.client.killAgent(parent.agent.id, { reason: 'x' }, { waitMs: 0 });
    const because = {
      kill_id: kill.id,
      action: 'kill',
      subject: { kind: 'agent', id: parent.agent.id },
    };
    expect(await plane.client.getAgent(parent.agent.id)).toMatchObject({
      state: 'killed',
      because,
    });
    expect(await plane.client.getAgent(child.agent.id)).toMatchObject({ state: 'killed', because });
    expect(await plane.client.getAgent(other.agent.id)).toMatchObject({
      state: 'active',
      because: null,
    });
    expect(await plane.client.getAgent(done.agent.id)).toMatchObject({ state: 'completed' });
    await expect(plane.client.mint(done.agent.id)).rejects.toMatchObject({
      problem: { code: 'agent_ended', status: 409 },
    });
  });

  it('lets an agent complete itself and its descendants, and nobody else', async () => {
    const parent = await root();
    const [one, two] = [await childOf(parent), await childOf(parent)];
    const asOne = plane.client.as(one.credential.token);
    await expect(asOne.complete(two.agent.id)).rejects.toMatchObject({
      problem: { code: 'not_a_descendant', status: 403 },
    });
    await expect(asOne.complete(newId('agent'))).rejects.toMatchObject({
      problem: { status: 404 },
    });
    expect((await asOne.complete(one.agent.id)).agent.state).toBe('completed');
    expect(
      (await plane.client.as(parent.credential.token).complete(two.agent.id)).agent.state,
    ).toBe('completed');
    expect((await plane.client.complete(two.agent.id)).agent.state).toBe('completed');
    expect((await plane.client.getAgent(parent.agent.id)).state).toBe('active');
  });

  it('ends everything under a completed task, and nothing beside it', async () => {
    const parent = await root();
    const worker = await childOf(parent, { task: { name: 'errand' } });
    const below = await childOf(worker);
    const beside = await childOf(parent);
    const path = `/v1/tasks/${worker.agent.task_id}/complete`;
    expect(await plane.call('POST', path, { key: beside.credential.token })).toMatchObject({
      status: 403,
      body: { code: 'not_a_descendant' },
    });
    expect(await plane.call('POST', path, { key: parent.credential.token })).toMatchObject({
      status: 200,
    });
    expect((await plane.client.getAgent(below.agent.id)).state).toBe('completed');
    expect((await plane.client.getAgent(worker.agent.id)).state).toBe('completed');
    expect((await plane.client.getAgent(beside.agent.id)).state).toBe('active');
    const idsOf = async (state: 'active' | 'completed') =>
      (await plane.client.listAgents({ root: parent.agent.id, state })).items.map(({ id }) => id);
    await eventually(async () => {
      expect(await idsOf('completed')).toEqual([worker.agent.id, below.agent.id]);
      expect(await idsOf('active')).toEqual([parent.agent.id, beside.agent.id]);
    });
  });

  it('shows a service its own trees and an agent what is below it', async () => {
    const mine = await plane.client.createApiKey({ role: 'service', name: 'mine' });
    const theirs = await plane.client.createApiKey({ role: 'service', name: 'theirs' });
    const tree = await plane.client.as(mine.key).spawn({ name: 'mine', initiator: alice });
    const child = await childOf(tree);
    const see = (key: string, id: string) => plane.call('GET', `/v1/agents/${id}`, { key });
    expect((await see(mine.key, child.agent.id)).status).toBe(200);
    expect((await see(theirs.key, child.agent.id)).status).toBe(404);
    expect((await see(child.credential.token, child.agent.id)).status).toBe(200);
    expect((await see(child.credential.token, tree.agent.id)).status).toBe(404);
    expect((await plane.client.as(theirs.key).listAgents()).items).toEqual([]);
  });
});
