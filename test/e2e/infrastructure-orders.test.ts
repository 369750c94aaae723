import type { EnforcementPoint } from '@sever/enforcement';
import type { Kill, SpawnReply } from '@sever/protocol';
import { startTestControlPlane, type TestControlPlane } from '../support/control-plane';
import { connectPoint } from '../support/enforcement-point';
import { eventually } from '../support/eventually';

/** What Sever itself stands on: its signing keys, enforcement points and the keys they enrolled with. */
describe('orders against what enforces', () => {
  let plane: TestControlPlane;
  let lead: string;
  let point: EnforcementPoint;

  const root = (): Promise<SpawnReply> =>
    plane.client.spawn({ name: 'root', initiator: { subject: 'alice@example.com' } });
  const order = async (subject: object, more: object = {}): Promise<Kill> => {
    const reply = await plane.call('POST', '/v1/kills?wait=10s', {
      body: { subject, reason: 'a test', ...more },
    });
    expect([200, 202]).toContain(reply.status);
    return reply.body as unknown as Kill;
  };
  const reinstate = (kind: string, id: string, kill: Kill) =>
    plane.call('POST', `/v1/subjects/${kind}/${id}/reinstate`, {
      key: lead,
      body: { kill_id: kill.id, reason: 'over' },
    });
  const admits = async (at: EnforcementPoint, { credential }: SpawnReply): Promise<string> => {
    const decision = await at.check(credential.token);
    return decision.decision === 'allow' ? 'allow' : decision.code;
  };

  beforeAll(async () => {
    plane = await startTestControlPlane();
    ({ key: lead } = await plane.client.createApiKey({ role: 'lead', name: 'lead' }));
    point = await connectPoint(plane, 'steady', { mode: 'strict' });
  });
  afterAll(async () => {
    await point.close();
    await plane.close();
  });

  it('kills a token key: its tokens are refused everywhere, and new ones come from another key', async () => {
    const victim = await root();
    const kid = kidOf(victim);
    const kill = await order({ kind: 'signing_key', id: kid });
    expect(kill.state).toBe('contained');
    expect(await admits(point, victim)).toMatch(/^agent_(suspended|revoked)$/);
    const api = await plane.call('GET', `/v1/agents/${victim.agent.id}`, {
      key: victim.credential.token,
    });
    expect([401, 403]).toContain(api.status);
    const fresh = await root();
    expect(kidOf(fresh)).not.toBe(kid);
    await eventually(async () => expect(await admits(point, fresh)).toBe('allow'));
    // The agent itself was never killed: it goes on with a new token.
    const renewed = await plane.client.mint(victim.agent.id);
    expect(await admits(point, { ...victim, credential: renewed.credential })).toBe('allow');

    expect((await reinstate('signing_key', kid, kill)).status).toBe(200);
    await eventually(async () => expect(await admits(point, victim)).toBe('allow'));
    expect(kidOf(await root())).not.toBe(kid);
  });

  it('kills two token keys in a row', async () => {
    for (let round = 0; round < 2; round++) {
      const victim = await root();
      const kill = await order({ kind: 'signing_key', id: kidOf(victim) });
      expect(kill.state).toBe('contained');
      expect(await admits(point, victim)).not.toBe('allow');
      await eventually(async () => expect(await admits(point, await root())).toBe('allow'));
    }
  });

  it('kills a stream key, and the next order reaches everybody under the new one', async () => {
    const kid = await streamKid(plane);
    const killed = await order({ kind: 'signing_key', id: kid });
    expect(killed.state).toBe('contained');
    expect(await streamKid(plane)).not.toBe(kid);
    const [victim, twin] = [await root(), await root()];
    const kill = await order({ kind: 'agent', id: victim.agent.id });
    expect(kill.state).toBe('contained');
    expect([await admits(point, victim), await admits(point, twin)]).toEqual([
      'agent_revoked',
      'allow',
    ]);
  });

  it('suspends an enforcement point: it refuses everybody until the lift, and its neighbour goes on', async () => {
    const held = await connectPoint(plane, 'held', { mode: 'strict' });
    try {
      const caller = await root();
      const kill = await order(
        { kind: 'enforcement_point', id: held.state().id },
        { action: 'suspend' },
      );
      expect(kill.state).toBe('contained');
      expect(await admits(held, caller)).toBe('enforcement_stale');
      expect(await admits(point, caller)).toBe('allow');
      const lift = await plane.call('POST', `/v1/kills/${kill.id}/lift`, {
        body: { reason: 'ok' },
      });
      expect(lift.status).toBe(200);
      await eventually(async () => expect(await admits(held, caller)).toBe('allow'), {
        timeoutMs: 10_000,
      });
    } finally {
      await held.close();
    }
  });

  it('kills an enrolment key: who came with it is dark and nobody else comes, until it is reinstated', async () => {
    const { id, key } = await plane.client.createEnrolmentKey({ name: 'leaked' });
    const came = await connectPoint(plane, 'came-with-it', { mode: 'strict', enrolmentKey: key });
    const caller = await root();
    expect(await admits(came, caller)).toBe('allow');
    const kill = await order({ kind: 'enrolment_key', id });
    await eventually(async () => expect(await admits(came, caller)).toBe('enforcement_stale'));
    expect(await admits(point, caller)).toBe('allow');
    const late = connectPoint(plane, 'late', {
      mode: 'strict',
      enrolmentKey: key,
      timeoutMs: 3_000,
    });
    await expect(late).rejects.toThrow();
    await came.close();
    expect((await reinstate('enrolment_key', id, kill)).status).toBe(200);
    const again = await connectPoint(plane, 'again', { mode: 'strict', enrolmentKey: key });
    expect(await admits(again, caller)).toBe('allow');
    await again.close();
  });

  it('reinstates an enforcement point: it enrols again with the same key pair', async () => {
    const directory = `${plane.environment.SEVER_DATA_DIR}/ep-returning`;
    const options = { mode: 'strict', keyDirectory: directory } as const;
    const first = await connectPoint(plane, 'returning', options);
    const { id } = first.state();
    const caller = await root();
    const kill = await order({ kind: 'enforcement_point', id });
    await eventually(async () => expect(await admits(first, caller)).toBe('enforcement_stale'));
    await first.close();
    const refused = connectPoint(plane, 'returning', { ...options, timeoutMs: 3_000 });
    await expect(refused).rejects.toThrow();
    expect((await reinstate('enforcement_point', id, kill)).status).toBe(200);
    const back = await connectPoint(plane, 'returning', options);
    try {
      expect(back.state().id).toBe(id);
      expect(await admits(back, caller)).toBe('allow');
      const next = await order({ kind: 'agent', id: caller.agent.id });
      expect(next.state).toBe('contained');
      expect(await admits(back, caller)).toBe('agent_revoked');
    } finally {
      await back.close();
    }
  });

  it('drains: refuses what is new, and lets what runs come to its end', async () => {
    const [victim, cut] = [await root(), await root()];
    const admitted = await point.admit(victim.credential.token);
    const aborted = await point.admit(cut.credential.token);
    if (admitted.decision !== 'allow' || aborted.decision !== 'allow') throw new Error('refused');
    await order({ kind: 'agent', id: victim.agent.id }, { in_flight: 'drain' });
    await order({ kind: 'agent', id: cut.agent.id });
    expect([await admits(point, victim), await admits(point, cut)]).toEqual([
      'agent_revoked',
      'agent_revoked',
    ]);
    expect([admitted.call.signal.aborted, aborted.call.signal.aborted]).toEqual([false, true]);
    admitted.call.finish();
    aborted.call.finish();
  });
});

function kidOf({ credential }: SpawnReply): string {
  const header = JSON.parse(
    Buffer.from(credential.token.split('.')[0] as string, 'base64url').toString(),
  ) as { kid: string };
  return header.kid;
}

async function streamKid({ database }: TestControlPlane): Promise<string> {
  const { Client } = await import('pg');
  const client = new Client({ connectionString: database.url });
  await client.connect();
  const { rows } = await client
    .query<{ kid: string }>(
      `SELECT kid FROM signing_key WHERE purpose = 'stream' AND state = 'live'`,
    )
    .finally(() => client.end());
  return rows[0]?.kid as string;
}
