import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { EnforcementPoint } from '@sever/enforcement';
import type { SpawnReply } from '@sever/protocol';
import { Client } from 'pg';
import { loadConfig } from '../../src/config/config';
import { startControlPlane, type ControlPlane } from '../../src/control-plane';
import { Prepared } from '../../src/revocation/emergency/prepared';
import { startTestControlPlane, type Reply, type TestControlPlane } from '../support/control-plane';
import { connectPoint } from '../support/enforcement-point';
import { eventually } from '../support/eventually';
import { startTestPostgres, type TestPostgres } from '../support/postgres';

const ANSWER_WITHIN_MS = 3_000;
const REFUSE_WITHIN_MS = 2_000;
/** Strict enforcement points must not go dark of themselves while a test still looks at what they admit. */
const LEASE_MS = 60_000;

interface KillBody {
  id: string;
  state: string;
  summary: string;
  warnings: string[];
  journaled?: boolean;
  containment: { required: number; enforced: number; unknown: { name: string }[] };
}

describe('a kill while the database is away', () => {
  let postgres: TestPostgres;
  let plane: TestControlPlane;
  let point: EnforcementPoint;

  beforeAll(async () => {
    postgres = await startTestPostgres();
    plane = await startTestControlPlane({ SEVER_DATABASE_URL: postgres.url });
    await sql(`UPDATE tenant SET lease_valid_ms = $1, lease_valid_ms_before = $1`, [LEASE_MS]);
    point = await connectPoint(plane, 'edge');
  }, 120_000);
  afterAll(async () => {
    await point.close();
    await plane.plane.close();
    await plane.broker.stop();
    await plane.database.drop();
    await postgres.stop();
  }, 120_000);

  // One story that fails must not take the next ones with it.
  afterEach(() => postgres.heal(), 60_000);

  const sql = async (text: string, parameters: unknown[] = []): Promise<unknown[]> => {
    const client = new Client({ connectionString: postgres.url });
    await client.connect();
    try {
      await client.query('SET ROLE sever_system');
      return (await client.query(text, parameters)).rows as unknown[];
    } finally {
      await client.end();
    }
  };
  /** A database that has just come back may refuse a while longer. */
  const root = (name: string): Promise<SpawnReply> =>
    eventually(
      () => plane.client.spawn({ name, initiator: { subject: 'alice' }, scopes: ['tool:*'] }),
      { timeoutMs: 30_000 },
    );
  const decide = async ({ credential }: SpawnReply): Promise<string> => {
    const decision = await point.check(credential.token, { tool: 'x/y' });
    return decision.decision === 'deny' ? decision.code : 'allow';
  };
  const timed = async (call: () => Promise<Reply>): Promise<{ reply: Reply; ms: number }> => {
    const startedAt = performance.now();
    const reply = await call();
    return { reply, ms: performance.now() - startedAt };
  };
  const kill = (
    agent: string,
    { at = plane.url, key = plane.key, idempotencyKey = `${randomUUID()}` } = {},
  ): Promise<{ reply: Reply; ms: number }> =>
    timed(async () => {
      const response = await fetch(`${at}/v1/kills`, {
        method: 'POST',
        headers: {
          ...{ authorization: `Bearer ${key}`, 'content-type': 'application/json' },
          'idempotency-key': idempotencyKey,
        },
        body: JSON.stringify({ subject: { kind: 'agent', id: agent }, reason: 'the worst day' }),
      });
      const text = await response.text();
      const body = JSON.parse(text) as Record<string, unknown>;
      return { status: response.status, headers: response.headers, body, text };
    });
  const revocations = (id: string): Promise<unknown[]> =>
    sql(`SELECT id FROM revocation WHERE id = $1`, [id]);
  const contained = (id: string): Promise<unknown> =>
    eventually(async () => expect((await plane.client.getKill(id)).state).toBe('contained'), {
      timeoutMs: 30_000,
    });
  const metric = async (name: string): Promise<number> => {
    const { text } = await plane.call('GET', '/metrics', { key: '' });
    return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
  };
  const admitted = async (...agents: SpawnReply[]): Promise<void> => {
    await eventually(
      async () => {
        for (const agent of agents) expect(await decide(agent)).toBe('allow');
      },
      { timeoutMs: 30_000 },
    );
  };

  /** One story for every way of being away: refused, then silent. */
  const outage = async (end: () => Promise<void> | void): Promise<void> => {
    const [doomed, survivor] = [await root('doomed'), await root('survivor')];
    await admitted(doomed, survivor);
    await eventually(async () => expect(await metric('sever_emergency_kills_open')).toBe(0), {
      timeoutMs: 30_000,
    });
    const takenBefore = await metric('sever_emergency_kills_total');
    // Who has come just now is known a moment later; in that moment the record would name nobody.
    await eventually(() =>
      expect(plane.plane.app.get(Prepared).points(point.state().tenant)).toMatchObject([
        { name: 'edge' },
      ]),
    );
    await end();
    const idempotencyKey = randomUUID();
    const startedAt = performance.now();
    const { reply, ms } = await kill(doomed.agent.id, { idempotencyKey });
    const body = reply.body as unknown as KillBody;
    expect([reply.status, body.state]).toEqual([202, 'emergency']);
    expect(ms).toBeLessThan(ANSWER_WITHIN_MS);
    expect(body.containment).toMatchObject({ enforced: 0, unknown: [{ name: 'edge' }] });
    expect(body.summary).toMatch(/Announced without the database/);
    await eventually(async () => expect(await decide(doomed)).toBe('agent_revoked'));
    expect(performance.now() - startedAt).toBeLessThan(ANSWER_WITHIN_MS + REFUSE_WITHIN_MS);
    expect(await decide(survivor)).toBe('allow');

    const again = await kill(doomed.agent.id, { idempotencyKey });
    expect(again.reply.body).toMatchObject({ id: body.id, state: 'emergency' });
    expect(again.ms).toBeLessThan(ANSWER_WITHIN_MS);
    // A slow disk delays the word of the journal, never the kill.
    await eventually(async () => {
      const looked = await timed(() => plane.call('GET', `/v1/kills/${body.id}`));
      expect(looked.ms).toBeLessThan(ANSWER_WITHIN_MS);
      expect(looked.reply.body).toMatchObject({ id: body.id, state: 'emergency', journaled: true });
    });

    expect((await plane.call('GET', '/healthz', { key: '' })).status).toBe(200);
    const ready = await plane.call('GET', '/readyz', { key: '' });
    expect([ready.status, ready.body]).toMatchObject([
      200,
      { status: 'degraded', database: false, emergencies_open: 1 },
    ]);
    expect(await metric('sever_emergency_kills_open')).toBe(1);
    expect(await metric('sever_emergency_kills_total')).toBe(takenBefore + 1);

    for (const asked of [
      () => plane.call('POST', '/v1/agents', spawnCall(plane.key)),
      () => plane.call('POST', '/v1/agents', spawnCall(survivor.credential.token)),
      () =>
        plane.call('POST', `/v1/agents/${survivor.agent.id}/credentials`, {
          key: survivor.credential.token,
          body: {},
        }),
    ]) {
      const refused = await timed(asked);
      expect(refused.reply).toMatchObject({ status: 503, body: { code: 'unavailable' } });
      expect(refused.reply.headers.get('retry-after')).toBe('1');
      expect(refused.ms).toBeLessThan(9_000);
    }
    return back(body.id, { doomed, survivor, idempotencyKey });
  };

  let restore: () => Promise<void> | void;
  const back = async (
    id: string,
    story: { doomed: SpawnReply; survivor: SpawnReply; idempotencyKey: string },
  ): Promise<void> => {
    await restore();
    await contained(id);
    expect(await revocations(id)).toHaveLength(1);
    expect(await sql(`SELECT state FROM emergency WHERE kill_id = $1`, [id])).toEqual([
      { state: 'committed' },
    ]);
    const { reply } = await kill(story.doomed.agent.id, { idempotencyKey: story.idempotencyKey });
    expect(reply.body).toMatchObject({ id, state: 'contained' });
    expect(await decide(story.doomed)).toBe('agent_revoked');
    await admitted(story.survivor);
    await eventually(async () => expect(await metric('sever_emergency_kills_open')).toBe(0));
  };

  it('is taken at once when Postgres is dead, enforced, and committed once under its id when it is back', async () => {
    restore = () => postgres.restart();
    await outage(() => postgres.kill());
  }, 120_000);

  it('is taken in time when Postgres is frozen, and is there once after the thaw', async () => {
    restore = () => postgres.thaw();
    await outage(() => postgres.freeze());
  }, 120_000);

  it('is lifted when the database refuses it, and its record tells why; nothing else is freed by that', async () => {
    const [named, other] = [await root('unknown to a restored database'), await root('other')];
    await admitted(named, other);
    await postgres.kill();
    const ghost =
      named.agent.id.slice(0, -6) + (named.agent.id.endsWith('000000') ? '000001' : '000000');
    const wrong = (await kill(ghost)).reply.body as unknown as KillBody;
    const right = (await kill(other.agent.id)).reply.body as unknown as KillBody;
    expect([wrong.state, right.state]).toEqual(['emergency', 'emergency']);
    await eventually(async () => expect(await decide(other)).toBe('agent_revoked'));
    await postgres.restart();
    await contained(right.id);
    const record = await eventually(async () => {
      const found = (await plane.call('GET', `/v1/kills/${wrong.id}`)).body;
      expect(found).toMatchObject({ state: 'refused', refused: { code: 'not_found' } });
      return found as unknown as KillBody;
    });
    expect(record.summary).toContain('the announcement has been lifted');
    expect(
      await sql(`SELECT payload::jsonb->'op' AS op FROM stream_entry WHERE order_id = $1`, [
        wrong.id,
      ]),
    ).toEqual([{ op: { op: 'lift', id: wrong.id } }]);
    expect(await revocations(wrong.id)).toEqual([]);
    expect(await decide(other)).toBe('agent_revoked');
    await admitted(named);
  }, 120_000);

  it('becomes the suspension that it asked for, which can be lifted', async () => {
    const held = await root('held');
    await admitted(held);
    await postgres.kill();
    const { body } = await plane.call('POST', '/v1/kills', {
      body: {
        ...{ subject: { kind: 'agent', id: held.agent.id }, action: 'suspend' },
        ...{ level: 'deny_spawn', reason: 'x' },
      },
    });
    expect(body).toMatchObject({ state: 'emergency', action: 'suspend' });
    expect(body.warnings).toContain('denies_everything');
    await eventually(async () => expect(await decide(held)).toBe('agent_revoked'));
    await postgres.restart();
    await contained(body.id as string);
    // Its level leaves calls alone, once it is in force.
    await admitted(held);
    const lifted = await plane.call('POST', `/v1/kills/${String(body.id)}/lift`, {
      body: { reason: 'over' },
    });
    expect(lifted.status).toBe(200);
    await admitted(held);
  }, 120_000);

  it('covers what a token says of itself, down to the family, and of a credential id says what it leaves', async () => {
    const [one, two] = [await root('by token'), await root('by id')];
    const minted = await eventually(async () => {
      const reply = await plane.call('POST', `/v1/agents/${one.agent.id}/credentials`, {
        key: one.credential.token,
        body: {},
      });
      expect(reply.status).toBe(201);
      return (reply.body as unknown as Pick<SpawnReply, 'credential'>).credential;
    });
    await admitted(one, two);
    await postgres.kill();
    const order = (subject: object): Promise<Reply> =>
      plane.call('POST', '/v1/kills', { body: { subject, reason: 'leaked' } });
    const byToken = await order({ kind: 'token', token: minted.token });
    const byId = await order({ kind: 'credential', id: two.credential.id });
    expect(byToken.body).toMatchObject({ state: 'emergency', warnings: [] });
    expect(byId.body).toMatchObject({ warnings: ['derived_credentials_not_covered'] });
    await eventually(async () => {
      expect(await decide(one)).toBe('agent_revoked');
      expect(await decide(two)).toBe('agent_revoked');
    });
    await postgres.restart();
    for (const { body } of [byToken, byId]) await contained(body.id as string);
    // The announcement named the credential, the order its family: each has an entry of its own, and nothing stays open.
    expect(
      await sql(
        `SELECT payload::jsonb->'op'->>'subject' AS subject FROM stream_entry WHERE order_id = $1 ORDER BY seq`,
        [byId.body.id],
      ),
    ).toEqual([
      { subject: `family:${two.credential.id}` },
      { subject: `credential:${two.credential.id}` },
    ]);
  }, 120_000);

  describe('with two replicas', () => {
    let other: ControlPlane;
    beforeEach(async () => {
      other = await startControlPlane(
        loadConfig({
          ...plane.environment,
          SEVER_DATA_DIR: `${String(plane.environment.SEVER_DATA_DIR)}-b`,
        }),
      );
    }, 120_000);
    afterEach(() => other.close(), 120_000);

    it('is committed by the other when the one that took it is gone, because it has heard the whole order', async () => {
      const [doomed, survivor] = [await root('doomed'), await root('survivor')];
      await admitted(doomed, survivor);
      await postgres.kill();
      const { body } = (await kill(doomed.agent.id, { at: other.url })).reply;
      expect(body.state).toBe('emergency');
      await eventually(async () =>
        expect((await plane.client.getKill(body.id as string)).state).toBe('emergency'),
      );
      await other.close();
      await postgres.restart();
      await contained(body.id as string);
      expect((await plane.client.getKill(body.id as string)).reason).toBe('the worst day');
      await admitted(survivor);
    }, 120_000);

    it('is known to the other by its announcement: the same key gives the same kill there, and it is committed once', async () => {
      const [doomed, survivor] = [await root('doomed'), await root('survivor')];
      await admitted(doomed, survivor);
      await postgres.kill();
      const idempotencyKey = randomUUID();
      const here = (await kill(doomed.agent.id, { idempotencyKey })).reply.body;
      const there = await kill(doomed.agent.id, { idempotencyKey, at: other.url });
      expect([here.state, there.reply.body.state]).toEqual(['emergency', 'emergency']);
      expect(there.reply.body.id).toBe(here.id);
      await postgres.restart();
      await contained(here.id as string);
      expect(await revocations(here.id as string)).toHaveLength(1);
      expect(await sql(`SELECT 1 FROM emergency WHERE kill_id = $1`, [here.id])).toHaveLength(1);
      await admitted(survivor);
    }, 120_000);
  });

  function spawnCall(key: string) {
    return {
      key,
      body: {
        name: 'x',
        scopes: [],
        ...(key === plane.key && { initiator: { subject: 'alice' } }),
      },
    };
  }
});

describe('a control plane that ends during an outage', () => {
  let postgres: TestPostgres;
  let plane: TestControlPlane;
  let running: ControlPlane;

  beforeEach(async () => {
    postgres = await startTestPostgres();
    plane = await startTestControlPlane({ SEVER_DATABASE_URL: postgres.url });
    running = plane.plane;
  }, 120_000);
  afterEach(async () => {
    await running.close();
    await plane.broker.stop();
    await plane.database.drop();
    await postgres.stop();
  }, 120_000);

  /** Takes a kill without the database, ends, and starts again when it is back; `between` happens while it is gone. */
  const story = async (
    between: (dataDir: string) => void,
  ): Promise<{ id: string; agent: string }> => {
    const { agent } = await plane.client.spawn({ name: 'doomed', initiator: { subject: 'a' } });
    await postgres.kill();
    const kill = await plane.client.killAgent(agent.id, { reason: 'x' }, { waitMs: 0 });
    expect(kill.state).toBe('emergency');
    await eventually(async () =>
      expect((await plane.client.getKill(kill.id)).journaled).toBe(true),
    );
    await running.close();
    between(plane.environment.SEVER_DATA_DIR as string);
    await postgres.restart();
    const { port } = new URL(plane.url);
    running = await startControlPlane(loadConfig({ ...plane.environment, SEVER_PORT: port }));
    return { id: kill.id, agent: agent.id };
  };

  it('commits at its next start what stands in its journal', async () => {
    const { id, agent } = await story(() => undefined);
    await eventually(
      async () => expect(await plane.client.getKill(id)).toMatchObject({ id, state: 'committed' }),
      { timeoutMs: 30_000 },
    );
    expect((await plane.client.getAgent(agent)).state).toBe('killed');
  }, 120_000);

  it('would have lost it without the journal', async () => {
    const { id, agent } = await story((dataDir) =>
      rmSync(join(dataDir, 'emergencies'), { recursive: true }),
    );
    expect((await plane.call('GET', `/v1/kills/${id}`)).status).toBe(404);
    expect((await plane.client.getAgent(agent)).state).toBe('active');
  }, 120_000);
});
