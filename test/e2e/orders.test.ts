import type { EnforcementPoint } from '@sever/enforcement';
import { newId, type Kill, type SpawnReply, type SpawnRequest } from '@sever/protocol';
import { startTestControlPlane, type TestControlPlane } from '../support/control-plane';
import { connectPoint } from '../support/enforcement-point';
import { eventually } from '../support/eventually';

/** What a victim and its twin are told apart by, so that an order that names the one must spare the other. */
interface Case {
  readonly kind: string;
  readonly spawn: (plane: TestControlPlane, name: string) => Promise<SpawnReply>;
  readonly subject: (victim: SpawnReply, plane: TestControlPlane) => unknown;
  /** The subject as reinstate takes it. */
  readonly known: (victim: SpawnReply, kill: Kill) => { kind: string; id: string };
}

const root = (plane: TestControlPlane, request: Partial<SpawnRequest>): Promise<SpawnReply> =>
  plane.client.spawn({ name: 'an agent', initiator: { subject: 'alice@example.com' }, ...request });

const bySubject = (_: SpawnReply, kill: Kill) => kill.subjects[0] as { kind: string; id: string };

const CASES: Case[] = [
  {
    kind: 'agent',
    spawn: (plane) => root(plane, {}),
    subject: ({ agent }) => ({ kind: 'agent', id: agent.id }),
    known: bySubject,
  },
  {
    kind: 'credential',
    spawn: (plane) => root(plane, {}),
    subject: ({ credential }) => ({ kind: 'credential', id: credential.id }),
    known: bySubject,
  },
  {
    kind: 'grant',
    spawn: (plane) => root(plane, {}),
    subject: ({ credential }) => ({ kind: 'grant', id: grantOf(credential.token) }),
    known: bySubject,
  },
  {
    kind: 'task',
    spawn: (plane, name) => root(plane, { task: { name } }),
    subject: ({ agent }) => ({ kind: 'task', id: agent.task_id }),
    known: bySubject,
  },
  {
    kind: 'initiator',
    spawn: (plane, name) => root(plane, { initiator: { subject: `${name}@example.com` } }),
    subject: ({ agent }) => ({ kind: 'initiator', id: agent.initiator.id }),
    known: bySubject,
  },
  {
    kind: 'initiator, by the name that the identity provider gave',
    spawn: (plane, name) =>
      root(plane, { initiator: { subject: `${name}@example.net`, issuer: 'https://idp.example' } }),
    subject: ({ agent }) => ({
      kind: 'initiator',
      subject: agent.initiator.subject,
      issuer: 'https://idp.example',
    }),
    known: bySubject,
  },
  {
    kind: 'label',
    spawn: (plane, name) => root(plane, { labels: { team: name } }),
    subject: ({ agent }) => ({ kind: 'label', id: `team:${String(agent.labels.team)}` }),
    known: bySubject,
  },
  {
    kind: 'service',
    spawn: async (plane, name) => {
      const { key } = await plane.client.createApiKey({ role: 'service', name });
      return plane.client.as(key).spawn({ name, initiator: { subject: 'alice@example.com' } });
    },
    subject: ({ credential }) => ({ kind: 'service', id: pairOf(credential.token, 'service') }),
    known: bySubject,
  },
  {
    kind: 'token',
    spawn: (plane) => root(plane, {}),
    subject: ({ credential }) => ({ kind: 'token', token: credential.token }),
    known: bySubject,
  },
  {
    kind: 'ref',
    spawn: (plane, name) => root(plane, { refs: { pod: name } }),
    subject: ({ agent }) => ({ kind: 'ref', id: `pod:${String(agent.refs.pod)}` }),
    known: bySubject,
  },
  {
    kind: 'trace',
    spawn: async (plane, name) => {
      const trace = Buffer.from(name.padEnd(16, '.')).toString('hex').slice(0, 32);
      const reply = await plane.call('POST', '/v1/agents', {
        body: { name, initiator: { subject: 'alice@example.com' }, refs: { trace } },
        headers: { traceparent: `00-${trace}-00f067aa0ba902b7-01` },
      });
      return reply.body as unknown as SpawnReply;
    },
    subject: ({ agent }) => ({ kind: 'trace', id: agent.refs.trace }),
    known: bySubject,
  },
];

describe('every kind of subject, at the control plane and at enforcement points', () => {
  let plane: TestControlPlane;
  let lead: string;
  const points: EnforcementPoint[] = [];
  let serial = 0;

  beforeAll(async () => {
    plane = await startTestControlPlane();
    ({ key: lead } = await plane.client.createApiKey({ role: 'lead', name: 'second lead' }));
    for (const mode of ['strict', 'best_effort'] as const)
      points.push(await connectPoint(plane, mode, { mode }));
  });
  afterAll(async () => {
    await Promise.all(points.map((point) => point.close()));
    await plane.close();
  });

  const codes = async (spawned: SpawnReply): Promise<string[]> =>
    Promise.all(
      points.map(async (point) => {
        const decision = await point.check(spawned.credential.token);
        return decision.decision === 'allow' ? 'allow' : decision.code;
      }),
    );
  const order = async (subject: unknown, more: object = {}) => {
    const reply = await plane.call('POST', '/v1/kills?wait=10s', {
      body: { subject, reason: 'a test', ...more },
    });
    return { status: reply.status, kill: reply.body as unknown as Kill };
  };
  const mint = (of: SpawnReply, key = plane.key) =>
    plane.call('POST', `/v1/agents/${of.agent.id}/credentials`, { key, body: {} });
  const pair = async ({ kind, spawn }: Case) => {
    serial += 1;
    const name = kind.replaceAll(/[^a-z]/g, '');
    return [
      await spawn(plane, `v${serial}${name}`),
      await spawn(plane, `t${serial}${name}`),
    ] as const;
  };

  it.each(CASES)('kills by $kind, and spares the twin', async (one) => {
    const [victim, twin] = await pair(one);
    expect(await codes(victim)).toEqual(['allow', 'allow']);
    const { status, kill } = await order(one.subject(victim, plane));
    expect({ status, state: kill.state, action: kill.action }).toEqual({
      status: 200,
      state: 'contained',
      action: 'kill',
    });
    expect(await codes(victim)).toEqual(['agent_revoked', 'agent_revoked']);
    expect(await codes(twin)).toEqual(['allow', 'allow']);
    const dead = await plane.call('POST', '/v1/agents', {
      key: victim.credential.token,
      body: { name: 'too late' },
    });
    expect(dead.status).toBe(409);
    const child = await plane.client.as(twin.credential.token).spawn({ name: 'in time' });
    expect(await codes(child)).toEqual(['allow', 'allow']);
  });

  it.each(CASES)('reinstates after a kill by $kind, and no old agent mints', async (one) => {
    const [victim] = await pair(one);
    const child = await plane.client.as(victim.credential.token).spawn({ name: 'a child' });
    const { kill } = await order(one.subject(victim, plane));
    const subject = one.known(victim, kill);
    const reply = await plane.call(
      'POST',
      `/v1/subjects/${subject.kind}/${encodeURIComponent(subject.id)}/reinstate`,
      { key: lead, body: { kill_id: kill.id, reason: 'mistaken' } },
    );
    expect(reply).toMatchObject({ status: 200, body: { subject, released: [kill.id] } });
    expect(await codes(victim)).toEqual(['agent_revoked', 'agent_revoked']);
    expect((await mint(victim, victim.credential.token)).status).toBe(409);
    // What was below a killed agent or human stays dead; beside a killed credential or grant it never died.
    if (!['credential', 'grant'].includes(subject.kind))
      expect(await codes(child)).toEqual(['agent_revoked', 'agent_revoked']);
    const again = await plane.call(
      'POST',
      `/v1/subjects/${subject.kind}/${encodeURIComponent(subject.id)}/reinstate`,
      { key: lead, body: { kill_id: kill.id, reason: 'mistaken' } },
    );
    expect(again).toMatchObject({ status: 409, body: { code: 'not_killed' } });
  });

  it.each(CASES)('suspends by $kind until it is lifted', async (one) => {
    const [victim, twin] = await pair(one);
    const { status, kill } = await order(one.subject(victim, plane), { action: 'suspend' });
    expect({ status, action: kill.action, level: kill.level }).toEqual({
      status: 200,
      action: 'suspend',
      level: 'deny_all',
    });
    expect(await codes(victim)).toEqual(['agent_suspended', 'agent_suspended']);
    expect(await codes(twin)).toEqual(['allow', 'allow']);
    const held = await plane.call('POST', '/v1/agents', {
      key: victim.credential.token,
      body: { name: 'not now' },
    });
    expect(held).toMatchObject({
      status: 409,
      body: { code: 'ancestor_suspended', kill_id: kill.id },
    });
    const lifted = await plane.call('POST', `/v1/kills/${kill.id}/lift`, {
      body: { reason: 'ok' },
    });
    expect(lifted).toMatchObject({ status: 200, body: { lifted: { reason: 'ok' } } });
    await eventually(async () => expect(await codes(victim)).toEqual(['allow', 'allow']));
    expect((await mint(victim, victim.credential.token)).status).toBe(201);
  });

  it('makes a reinstated agent mint again, in a new generation', async () => {
    const victim = await root(plane, {});
    const { kill } = await order({ kind: 'agent', id: victim.agent.id });
    await plane.call('POST', `/v1/subjects/agent/${victim.agent.id}/reinstate`, {
      key: lead,
      body: { kill_ids: [kill.id], reason: 'it was the wrong one' },
    });
    const minted = await mint(victim);
    expect(minted.status).toBe(201);
    const fresh = { ...victim, credential: minted.body.credential } as SpawnReply;
    expect(await codes(fresh)).toEqual(['allow', 'allow']);
    expect(await codes(victim)).toEqual(['agent_revoked', 'agent_revoked']);
    expect((await plane.client.getAgent(victim.agent.id)).state).toBe('active');
    expect(await plane.client.getKill(kill.id)).toMatchObject({
      reinstated: { by: { name: 'second lead' } },
      summary: expect.stringContaining('Released') as string,
    });
  });

  it('stops a whole tenant and lets it start anew', async () => {
    const own = await startTestControlPlane();
    const point = await connectPoint(own, 'only', { mode: 'strict' });
    try {
      const victim = await root(own, {});
      const tenant = pairOf(victim.credential.token, 'tenant');
      const { key } = await own.client.createApiKey({ role: 'lead', name: 'l' });
      const kill = await own.client.kill(
        { subject: { kind: 'tenant', id: tenant }, reason: 'all of it' },
        { waitMs: 10_000 },
      );
      expect(kill.state).toBe('contained');
      expect(await point.check(victim.credential.token)).toMatchObject({ code: 'agent_revoked' });
      await expect(root(own, {})).rejects.toMatchObject({ status: 409 });
      await own.call('POST', `/v1/subjects/tenant/${tenant}/reinstate`, {
        key,
        body: { kill_id: kill.id, reason: 'over' },
      });
      const born = await root(own, {});
      expect((await point.check(born.credential.token)).decision).toBe('allow');
      expect(await point.check(victim.credential.token)).toMatchObject({ code: 'agent_revoked' });
      const other = newId('tenant');
      const foreign = await own.call('POST', '/v1/kills', {
        body: { subject: { kind: 'tenant', id: other }, reason: 'not mine' },
      });
      expect(foreign.status).toBe(404);
    } finally {
      await point.close();
      await own.close();
    }
  });

  it.each([
    ['tool', 'files/read', 'files/write'],
    ['upstream', 'mailer', 'ledger'],
  ])('suspends a %s for everybody, and no other one', async (kind, id, other) => {
    const tool = (name: string) => (kind === 'tool' ? name : `${name}/send`);
    const caller = await root(plane, { scopes: ['tool:*'] });
    const ask = async (name: string) => {
      const decision = await (points[0] as EnforcementPoint).check(caller.credential.token, {
        tool: tool(name),
      });
      return decision.decision === 'allow' ? 'allow' : decision.code;
    };
    // The process stood still while another control plane was started beside it: its lease is asked for anew.
    await eventually(async () => expect(await ask(id)).toBe('allow'));
    const { kill, status } = await order({ kind, id }, { action: 'suspend' });
    expect(status).toBe(200);
    expect([await ask(id), await ask(other)]).toEqual(['tool_suspended', 'allow']);
    const killed = await plane.call('POST', '/v1/kills', {
      body: { subject: { kind, id }, reason: 'for good' },
    });
    expect(killed).toMatchObject({ status: 422, body: { code: 'bad_subject' } });
    await plane.call('POST', `/v1/kills/${kill.id}/lift`, { body: { reason: 'mended' } });
    await eventually(async () => expect(await ask(id)).toBe('allow'));
  });
});

function claimsOf(token: string): { lin: [string, number][] } {
  return JSON.parse(Buffer.from(token.split('.')[1] as string, 'base64url').toString()) as {
    lin: [string, number][];
  };
}

function pairOf(token: string, kind: string): string {
  const found = claimsOf(token).lin.find(([subject]) => subject.startsWith(`${kind}:`));
  return (found?.[0] ?? '').slice(kind.length + 1);
}

function grantOf(token: string): string {
  return pairOf(token, 'grant');
}
