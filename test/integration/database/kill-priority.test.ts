import { newId } from '@sever/protocol';
import { pino } from 'pino';
import { KillPool } from '../../../src/database/kill-pool';
import { createTestDatabase, type TestDatabase } from '../../support/cluster';
import { eventually } from '../../support/eventually';
import { SqlTenant, type Born } from '../../support/sql-tenant';
import { streamFaultsOf } from '../../support/stream-faults';

const CONNECTIONS = 12;
const KILLS = 40;
/** Each connection of the crowd has always something to do, and more waits for it. */
const ASKING = 3 * CONNECTIONS;

/** A spawn that waits for a kill gives way after less than a second. */
const gaveWay = (error: Error & { code?: string }): void => {
  if (error.code !== '55P03') throw error;
};

describe('kills while spawns and mints take every connection that they can get', () => {
  let database: TestDatabase;
  let tenant: SqlTenant;
  let kills: KillPool;

  beforeAll(async () => {
    database = await createTestDatabase();
    tenant = await SqlTenant.create(database.url, CONNECTIONS);
    kills = new KillPool(database.url, 4, pino({ level: 'silent' }));
    // As at the start of a control plane: its connections stand before anybody else asks for one.
    await kills.rehearse();
  });
  afterAll(async () => {
    await kills.close();
    await tenant.close();
    await database.drop();
  });

  const order = (agent: Born): string =>
    JSON.stringify([
      {
        ...{ id: newId('kill'), action: 'kill', only: false, reason: 'x', ticket: null },
        subjects: [{ kind: 'agent', id: agent.agentId }],
        ...{ actor: {}, caller: { kind: 'operator' }, idempotency: null },
        audit_id: newId('audit'),
      },
    ]);
  const REVOKE = 'SELECT sever_revoke($1, $2) AS answer';

  it('commits each of them, in the order in which they came, and the crowd goes on', async () => {
    const victims = await Promise.all(Array.from({ length: KILLS }, () => tenant.root()));
    const twin = await tenant.root({ maxChildren: 1_000_000 });
    let going = true;
    let served = 0;
    const crowd = Array.from({ length: ASKING }, async (_, at) => {
      while (going) {
        const under = at % 2 === 0 ? twin : (victims[at % KILLS] as Born);
        await (at % 3 === 0 ? tenant.mint(under) : tenant.spawn(under)).catch(gaveWay);
        served += 1;
      }
    });
    const tookMs: number[] = [];
    const seqs: number[] = [];
    try {
      await eventually(() => expect(served).toBeGreaterThan(ASKING), { timeoutMs: 20_000 });
      for (const victim of victims) {
        const startedAt = performance.now();
        const [row] = await kills.query<{ answer: [{ entries: [{ seq: number }] }] }>(REVOKE, [
          tenant.id,
          order(victim),
        ]);
        tookMs.push(performance.now() - startedAt);
        seqs.push(row?.answer[0].entries[0].seq as number);
      }
      const before = served;
      await eventually(() => expect(served).toBeGreaterThan(before), { timeoutMs: 20_000 });
    } finally {
      going = false;
      await Promise.all(crowd);
    }
    expect(seqs).toEqual(Array.from({ length: KILLS }, (_, at) => at + 1));
    for (const victim of victims) expect(await tenant.denial(victim.lineage)).not.toBeNull();
    expect(await tenant.denial(twin.lineage)).toBeNull();
    expect(await streamFaultsOf(tenant)).toEqual([]);
    const sorted = tookMs.sort((a, b) => a - b);
    console.info(
      `kills at saturation: p50 ${sorted[KILLS / 2]?.toFixed(1)} ms, p99 ${sorted.at(-1)?.toFixed(1)} ms`,
    );
  });

  it('needs no connection of theirs; one that did would wait as long as they like', async () => {
    const [victim, other] = [await tenant.root(), await tenant.root()];
    const taken = await Promise.all(
      Array.from({ length: CONNECTIONS }, () => tenant.pool.connect()),
    );
    let settled = false;
    const queued = tenant.pool
      .query(REVOKE, [tenant.id, order(other)])
      .finally(() => (settled = true));
    const [row] = await kills.query<{ answer: object[] }>(REVOKE, [tenant.id, order(victim)]);
    expect(row?.answer[0]).toHaveProperty('entries');
    expect(settled).toBe(false);
    for (const client of taken) client.release();
    await queued;
  });
});
