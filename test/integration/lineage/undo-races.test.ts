import { createTestDatabase, type TestDatabase } from '../../support/cluster';
import { SqlTenant, type Born } from '../../support/sql-tenant';
import { streamFaultsOf } from '../../support/stream-faults';
import { dawdle, removeFence, removePhrase } from '../../support/unprotected';

const ROUNDS = 25;
type Answer = Record<string, unknown>;

const done = (answer: Answer): boolean => !('problem' in answer) && !('already' in answer);
const agent = (born: Born) => ({ kind: 'agent', id: born.agentId });
const order = async (tenant: SqlTenant, action: string, born: Born, more = {}): Promise<string> =>
  (await tenant.order({ action, subjects: [agent(born)], ...more })).id as string;
const countOf = async (tenant: SqlTenant, action: string, id: string): Promise<number> => {
  const [row] = await tenant.read(
    `SELECT count(*)::int AS n FROM audit_record
     WHERE tenant = $1 AND action = $2 AND (record::jsonb->>'order_id' = $3 OR record::jsonb->'kill_ids' ? $3)`,
    [tenant.id, action, id],
  );
  return row?.n as number;
};

/** Two orders about one subject at the same time. Each race returns what it found wrong; none: it held. */
const RACES: Record<string, (tenant: SqlTenant) => Promise<string[]>> = {
  'a kill and a reinstatement that does not name it: the kill is never lost': async (tenant) => {
    const root = await tenant.root();
    const first = await order(tenant, 'kill', root);
    const [second, released] = await Promise.all([
      order(tenant, 'kill', root),
      tenant.reinstate(agent(root), [first]),
    ]);
    const minted = await tenant.mint(root, null);
    const faults: string[] = [];
    if (!('problem' in minted)) faults.push('an agent that was killed again mints');
    const standing = (await tenant.read(
      `SELECT order_id FROM standing_kill WHERE tenant = $1 AND subject = $2 AND released_at IS NULL`,
      [tenant.id, `agent:${root.agentId}`],
    )) as { order_id: string }[];
    const expected = done(released) ? [second] : [first, second];
    const found = standing.map(({ order_id }) => order_id);
    if (found.sort().join() !== expected.sort().join()) faults.push(`standing: ${found.join()}`);
    return faults;
  },

  'a lift and an escalation: the order is over, or a kill, and never both': async (tenant) => {
    const root = await tenant.root();
    const id = await order(tenant, 'suspend', root);
    const [lifted, escalated] = await Promise.all([
      tenant.lift(id),
      tenant.kill(agent(root), { id, escalates: true }),
    ]);
    const faults = done(lifted) === done(escalated) ? ['both happened, or neither'] : [];
    const dead = (await tenant.denial(root.lineage)) !== null;
    if (dead !== done(escalated)) faults.push(dead ? 'dead though lifted' : 'alive though killed');
    return faults;
  },

  'two leads who reinstate at once: one of them does': async (tenant) => {
    const root = await tenant.root();
    const id = await order(tenant, 'kill', root);
    const answers = await Promise.all([1, 2].map(() => tenant.reinstate(agent(root), [id])));
    const faults: string[] = [];
    if (answers.filter(done).length !== 1) faults.push(JSON.stringify(answers));
    if ((await countOf(tenant, 'reinstate', id)) !== 1) faults.push('not one record of it');
    if ('problem' in (await tenant.mint(root, null))) faults.push('it does not mint');
    if ((await tenant.denial(root.lineage)) === null) faults.push('what was issued before lives');
    return faults;
  },

  'an expiry and lifts by hand: one entry lifts it, and one record says so': async (tenant) => {
    const root = await tenant.root();
    const id = await order(tenant, 'suspend', root, { expires_ms: 0 });
    const answers = await Promise.all([
      tenant.lift(id),
      tenant.lift(id, { expiry: true }),
      tenant.lift(id),
    ]);
    const [row] = await tenant.read(
      `SELECT count(*)::int AS n FROM stream_entry
       WHERE tenant = $1 AND order_id = $2 AND payload::jsonb->'op'->>'op' = 'lift'`,
      [tenant.id, id],
    );
    const faults: string[] = [];
    if (row?.n !== 1) faults.push(`${String(row?.n)} entries lift it`);
    if (answers.filter(done).length !== 1) faults.push(JSON.stringify(answers));
    if ((await countOf(tenant, 'lift', id)) !== 1) faults.push('not one record of it');
    if ((await tenant.denial(root.lineage)) !== null) faults.push('still suspended');
    return faults;
  },

  'reinstatements of both subjects of one kill: its record says that it is released': async (
    tenant,
  ) => {
    const pair = [await tenant.root(), await tenant.root()];
    const { id } = await tenant.order({ action: 'kill', subjects: pair.map(agent) });
    const answers = await Promise.all(
      pair.map((born) => tenant.reinstate(agent(born), [id as string])),
    );
    const [row] = await tenant.read(
      `SELECT reinstated IS NOT NULL AS released FROM revocation WHERE tenant = $1 AND id = $2`,
      [tenant.id, id],
    );
    const faults = answers.every(done) ? [] : [JSON.stringify(answers)];
    if (row?.released !== true) faults.push('its record says that it stands');
    return faults;
  },
};

/** What protects each, beside the fence. */
const ROW_LOCKS = ['sever_lift', 'sever_revoke', 'sever_reinstate'].map((name) => ({
  name,
  phrase: ' FOR UPDATE;',
  by: ';',
}));

describe('orders about the same subject at the same time', () => {
  let database: TestDatabase;
  let tenant: SqlTenant;

  beforeAll(async () => {
    database = await createTestDatabase();
    await dawdle(database.url);
    tenant = await SqlTenant.create(database.url);
  });
  afterAll(async () => {
    await tenant.close();
    await database.drop();
  });

  it.each(Object.entries(RACES))('%s', async (_, race) => {
    const twin = await tenant.root();
    for (let round = 0; round < ROUNDS; round++) expect(await race(tenant)).toEqual([]);
    expect(await tenant.denial(twin.lineage)).toBeNull();
    expect(await streamFaultsOf(tenant)).toEqual([]);
  });
});

describe('without the fence and the locks of rows', () => {
  let database: TestDatabase;
  let tenant: SqlTenant;

  beforeAll(async () => {
    database = await createTestDatabase();
    await dawdle(database.url);
    await removeFence(database.url);
    for (const lock of ROW_LOCKS) await removePhrase(database.url, lock);
    tenant = await SqlTenant.create(database.url);
  });
  afterAll(async () => {
    await tenant.close();
    await database.drop();
  });

  it.each(Object.entries(RACES))('this does not hold: %s', async (_, race) => {
    const faults: string[] = [];
    for (let round = 0; round < 4 * ROUNDS && faults.length === 0; round++)
      // Two that wait for each other in a circle is what the order of the locks prevents.
      faults.push(...(await race(tenant).catch((error: unknown) => [String(error)])));
    expect(faults).not.toEqual([]);
  });
});
