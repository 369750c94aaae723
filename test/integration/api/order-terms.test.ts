import { newId, type Kill, type KillPlan, type SpawnReply } from '@sever/protocol';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';

describe('what an order may say beside whom it names', () => {
  let plane: TestControlPlane;

  const root = (more: object = {}): Promise<SpawnReply> =>
    plane.client.spawn({ name: 'root', initiator: { subject: 'alice@example.com' }, ...more });
  const childOf = (parent: SpawnReply, name = 'child'): Promise<SpawnReply> =>
    plane.client.as(parent.credential.token).spawn({ name });
  const post = async <T>(path: string, body: object, key = plane.key) => {
    const { status, body: answer } = await plane.call('POST', path, { key, body });
    return { status, body: answer as unknown as T & { code?: string } };
  };
  const kill = (body: object, key?: string) =>
    post<Kill>('/v1/kills?wait=0', { reason: 'a test', ...body }, key);
  const preview = (body: object, key?: string) =>
    post<KillPlan>('/v1/kills/preview', { reason: 'a test', ...body }, key);
  const agent = ({ agent: { id } }: SpawnReply) => ({ kind: 'agent', id });
  const stateOf = async (spawned: SpawnReply) =>
    (await plane.client.getAgent(spawned.agent.id)).state;

  beforeAll(async () => {
    plane = await startTestControlPlane();
  });
  afterAll(() => plane.close());

  describe('preview', () => {
    it('shows what would be stopped, and stops nothing', async () => {
      const top = await root();
      const below = await childOf(top);
      await childOf(below, 'grandchild');
      const { status, body } = await preview({ subject: agent(top) });
      expect(status).toBe(200);
      expect(body).toMatchObject({
        subjects: [agent(top)],
        not_found: [],
        counts: { agents: 3, credentials: 3, grants: 3 },
        keep_another_lineage: [],
      });
      expect(body.agents.map(({ name, depth }) => [name, depth])).toEqual([
        ['root', 0],
        ['child', 1],
        ['grandchild', 2],
      ]);
      expect(await stateOf(below)).toBe('active');
    });

    it('counts only what lives', async () => {
      const top = await root();
      const [dead, done] = [await childOf(top), await childOf(top)];
      await kill({ subject: agent(dead) });
      await plane.client.as(done.credential.token).complete(done.agent.id);
      expect((await preview({ subject: agent(top) })).body.counts.agents).toBe(1);
    });

    it('names those who keep another lineage when only a credential goes', async () => {
      const top = await root();
      const below = await childOf(top);
      const subject = { kind: 'credential', id: top.credential.id };
      const { body } = await preview({ subject });
      expect(body.counts).toEqual({ agents: 0, credentials: 1, grants: 0 });
      expect(body.keep_another_lineage).toEqual([{ id: below.agent.id, name: 'child' }]);
    });

    it('lets an agent see only what it may stop', async () => {
      const [top, stranger] = [await root(), await root()];
      const below = await childOf(top);
      const asTop = top.credential.token;
      expect((await preview({ subject: agent(below) }, asTop)).status).toBe(200);
      expect(await preview({ subject: agent(stranger) }, asTop)).toMatchObject({
        status: 403,
        body: { code: 'not_a_descendant' },
      });
      expect((await preview({ subject: { kind: 'agent', id: newId('agent') } })).status).toBe(404);
    });
  });

  describe('a plan', () => {
    it('is carried out as it was seen, and refused when it has changed', async () => {
      const top = await root();
      await childOf(top);
      const subject = agent(top);
      const { plan_hash } = (await preview({ subject })).body;
      await plane.client.as(top.credential.token).mint(top.agent.id); // a renewal changes no plan
      const late = await childOf(top, 'born after the preview');
      const changed = await kill({ subject, if_plan_hash: plan_hash });
      expect(changed).toMatchObject({ status: 409, body: { code: 'plan_changed' } });
      expect(await stateOf(late)).toBe('active');
      const fresh = (await preview({ subject })).body.plan_hash;
      expect((await kill({ subject, if_plan_hash: fresh })).status).toBe(202);
      expect(await stateOf(late)).toBe('killed');
    });

    it('is refused when it reaches further than allowed', async () => {
      const top = await root();
      const below = await childOf(top);
      const subject = agent(top);
      expect(await kill({ subject, max_agents: 1 })).toMatchObject({
        status: 409,
        body: { code: 'too_wide', agents: 2 },
      });
      expect(await stateOf(below)).toBe('active');
      expect((await kill({ subject, max_agents: 2 })).status).toBe(202);
      expect(await stateOf(below)).toBe('killed');
    });
  });

  describe('several subjects', () => {
    it('are one order with an entry each; unknown ones are listed and hold nothing up', async () => {
      const [one, two, spared] = [await root(), await root(), await root()];
      const unknown = { kind: 'agent', id: newId('agent') };
      const { status, body } = await kill({ subjects: [agent(one), unknown, agent(two)] });
      expect(status).toBe(202);
      expect(body).toMatchObject({ not_found: [unknown], subjects: [agent(one), agent(two)] });
      expect([await stateOf(one), await stateOf(two), await stateOf(spared)]).toEqual([
        'killed',
        'killed',
        'active',
      ]);
      expect((await kill({ subjects: [unknown, unknown] })).status).toBe(404);
      expect((await kill({ subject: unknown })).status).toBe(404);
    });
  });

  describe('what need not be known', () => {
    it.each([
      ['initiator', { kind: 'initiator', subject: 'alcie@example.com' }, 'alice@example.com', {}],
      ['label', { kind: 'label', id: 'team:bleu' }, 'team:blue', {}],
      ['tool', { kind: 'tool', id: 'files/raed' }, 'files/read', { action: 'suspend' }],
      ['upstream', { kind: 'upstream', id: 'fiels' }, 'files', { action: 'suspend' }],
    ])('takes an unknown %s, and offers names close to it', async (_, subject, near, more) => {
      await root({ labels: { team: 'blue' }, scopes: ['tool:files/read'] });
      const { status, body } = await kill({ subject, ...more });
      expect(status).toBe(202);
      expect(body).toMatchObject({
        matched: 0,
        nearest: expect.arrayContaining([near]) as string[],
      });
      expect(body.warnings).toContain('matched_nothing');
    });

    it('counts whom it touches', async () => {
      const label = { kind: 'label', id: 'crew:night' };
      await childOf(await root({ labels: { crew: 'night' } }));
      await root({ labels: { crew: 'day' } });
      expect((await kill({ subject: label })).body).toMatchObject({ matched: 2 });
    });

    it('stops a human before the first agent works for him', async () => {
      const mallory = { kind: 'initiator', subject: 'mallory@example.com' };
      await kill({ subject: mallory });
      await expect(root({ initiator: { subject: mallory.subject } })).rejects.toMatchObject({
        status: 409,
      });
      expect((await root()).agent.state).toBe('active');
    });

    it('tells two humans of one name apart by their issuers, and says when it did not have to', async () => {
      const of = (issuer?: string) =>
        root({ initiator: { subject: 'sam@example.com', ...(issuer && { issuer }) } });
      const [plain, foreign] = [await of(), await of('https://idp.example')];
      const { body } = await kill({ subject: { kind: 'initiator', subject: 'sam@example.com' } });
      expect(body.warnings).toContain('same_name_under_other_issuers');
      expect([await stateOf(plain), await stateOf(foreign)]).toEqual(['killed', 'active']);
      const { body: both } = await kill({ subject: { kind: 'initiator', id: 'lee@example.com' } });
      expect(both.resolved).toMatchObject([
        { asked: { kind: 'initiator', id: 'lee@example.com' } },
      ]);
    });
  });

  describe('a token', () => {
    it('is never shown again, and must be ours', async () => {
      const { credential } = await root();
      const { body } = await kill({ subject: { kind: 'token', token: credential.token } });
      expect(body).toMatchObject({
        subjects: [{ kind: 'credential', id: credential.id }],
        resolved: [
          { asked: { kind: 'token' }, subjects: [{ kind: 'credential', id: credential.id }] },
        ],
      });
      expect(JSON.stringify(body)).not.toContain(credential.token);
      const [head, payload] = credential.token.split('.');
      const forged = await kill({ subject: { kind: 'token', token: `${head}.${payload}.AAAA` } });
      expect(forged).toMatchObject({ status: 422, body: { code: 'bad_subject' } });
    });
  });

  it.each([
    ['a service names a human', 'service', { kind: 'initiator', subject: 'alice@example.com' }],
    ['a service names a label', 'service', { kind: 'label', id: 'a:b' }],
    ['an agent names its own task', 'agent', 'task'],
    ['an agent names its tenant', 'agent', 'tenant'],
  ])('refuses when %s', async (_, who, subject) => {
    const victim = await root({ task: { name: 'its task' } });
    const key =
      who === 'agent'
        ? victim.credential.token
        : (await plane.client.createApiKey({ role: 'service', name: 's' })).key;
    const named =
      subject === 'task'
        ? { kind: 'task', id: victim.agent.task_id }
        : subject === 'tenant'
          ? { kind: 'tenant', id: tenantOf(victim) }
          : subject;
    expect(await kill({ subject: named }, key)).toMatchObject({
      status: 403,
      body: { code: 'not_a_descendant' },
    });
    expect(await stateOf(victim)).toBe('active');
  });
});

function tenantOf({ credential }: SpawnReply): string {
  const claims = JSON.parse(
    Buffer.from(credential.token.split('.')[1] as string, 'base64url').toString(),
  ) as { tid: string };
  return claims.tid;
}
