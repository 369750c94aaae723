import { newId, type CallRecord, type CallReply } from '@sever/protocol';
import { Client } from 'pg';
import { CallDays, dayOf } from '../../../src/calls/call-days';
import { Enrol } from '../../../src/enforcement/enrol';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';
import { HandDrivenPoint } from '../stream/hand-driven-point';

const DAY_MS = 86_400_000;

interface Scene {
  readonly plane: TestControlPlane;
  readonly point: HandDrivenPoint;
  readonly sql: Client;
  close(): Promise<void>;
}

async function scene(settings: Record<string, string>): Promise<Scene> {
  const plane = await startTestControlPlane(settings);
  const sql = new Client({ connectionString: plane.database.url });
  await sql.connect();
  const { rows } = await sql.query<{ id: string }>('SELECT id FROM tenant LIMIT 1');
  const enrol = plane.plane.app.get(Enrol, { strict: false });
  const point = await HandDrivenPoint.enrolWith(enrol, rows[0]?.id ?? '', { name: 'by-hand' });
  return {
    ...{ plane, point, sql },
    close: async () => {
      await point.close();
      await sql.end();
      await plane.close();
    },
  };
}

function record(startedAt: number): CallRecord {
  return {
    ...{ id: newId('call'), started_at: startedAt, duration_ms: 1 },
    ...{ chain: [newId('agent')], initiator: newId('initiator'), tasks: [] },
    ...{ credential: newId('credential'), decision: 'allow', stale: false },
    ...{ outcome: 'completed', bytes_in: 0, bytes_out: 0 },
  };
}

async function send({ point }: Scene, records: CallRecord[]): Promise<CallReply> {
  const jws = await point.sign('call', { ep: point.id, boot_id: point.bootId, records });
  const subject = `sever.v1.call.${point.tenant}.${point.id}`;
  return JSON.parse((await point.nats.request(subject, jws)).string()) as CallReply;
}

describe('records of calls that are over', () => {
  let at: Scene;
  beforeAll(async () => (at = await scene({ SEVER_CALLS_RETENTION: '3d' })));
  afterAll(() => at.close());

  const partitions = async () =>
    (
      await at.sql.query<{ day: string }>(
        `SELECT right(inhrelid::regclass::text, 8) AS day FROM pg_inherits
         WHERE inhparent = 'call_record'::regclass ORDER BY 1`,
      )
    ).rows.map(({ day }) => day);
  const named = (day: number) =>
    new Date(day * DAY_MS).toISOString().slice(0, 10).replaceAll('-', '');

  it('go by whole days, and those of the days that are kept stay', async () => {
    const today = dayOf(Date.now());
    expect(
      await send(
        at,
        [0, 1, 2].map((ago) => record(Date.now() - ago * DAY_MS)),
      ),
    ).toMatchObject({ stored: 3, outside: 0 });
    // As if these days had been kept until yesterday.
    await at.sql.query(`SELECT sever_call_days(current_date - 10, current_date - 3)`);
    await at.sql.query(
      `INSERT INTO call_record SELECT (jsonb_populate_record(c, jsonb_build_object('day', current_date - 3))).* FROM call_record c LIMIT 1`,
    );
    expect((await partitions()).length).toBeGreaterThan(10);
    await at.plane.plane.app.get(CallDays, { strict: false }).sweep();
    expect(await partitions()).toEqual([-2, -1, 0, 1, 2, 3].map((ahead) => named(today + ahead)));
    const reply = await at.plane.call('GET', '/v1/calls');
    expect(reply.body['items']).toHaveLength(3);
  });

  it('go in the next round when somebody reads them, and nobody waits for that', async () => {
    await at.sql.query(`SELECT sever_call_days(current_date - 9, current_date - 9)`);
    const reader = new Client({ connectionString: at.plane.database.url });
    await reader.connect();
    await reader.query('BEGIN');
    await reader.query('SELECT count(*) FROM call_record');
    const days = at.plane.plane.app.get(CallDays, { strict: false });
    const started = performance.now();
    await days.sweep();
    expect(performance.now() - started).toBeLessThan(10_000);
    const gone = named(dayOf(Date.now()) - 9);
    expect(await partitions()).toContain(gone);
    await reader.end();
    await days.sweep();
    expect(await partitions()).not.toContain(gone);
  }, 30_000);
});

describe('too little space beside the database', () => {
  let at: Scene;
  beforeAll(async () => (at = await scene({ SEVER_CALLS_MIN_FREE: '999999999999999' })));
  afterAll(() => at.close());

  it('stops the intake of records and says so, while kills go on', async () => {
    expect(await send(at, [record(Date.now())])).toMatchObject({
      ...{ type: 'calls-refused', code: 'no_space' },
    });
    expect(await send(at, [record(Date.now())])).toMatchObject({ code: 'no_space' });
    const { text } = await at.plane.call('GET', '/metrics');
    expect(text).toContain('sever_calls_stopped 1');
    expect(text).toContain('sever_call_batches_refused_total{code="no_space"} 2');
    // Told once, not with every batch.
    expect(text).toContain('sever_alarms_total{kind="calls_stopped"} 1');
    expect(text).toMatch(/sever_calls_free_bytes \d{6,}/);
    const { agent } = await at.plane.client.spawn({ name: 'a', initiator: { subject: 'x' } });
    expect((await at.plane.client.killAgent(agent.id, { reason: 'drill' })).id).toMatch(/^kil_/);
  });
});
