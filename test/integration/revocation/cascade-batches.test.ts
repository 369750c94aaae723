import { Client } from 'pg';
import { seedTree } from '../../../bench/tree-size/seed-trees';
import { EXPAND_BATCH } from '../../../src/revocation/sql/enumerate-cascade.sql';
import { startTestControlPlane, type TestControlPlane } from '../../support/control-plane';
import { eventually } from '../../support/eventually';

const AGENTS = 12_000;
const BATCH = 500;

/** A tree whose second level has a thousand agents, and each of those as many children as there are left. */
describe('the listing of a wide cascade', () => {
  let plane: TestControlPlane;
  let database: Client;
  let tenant: string;
  let like: string;

  beforeAll(async () => {
    plane = await startTestControlPlane();
    database = new Client({ connectionString: plane.database.url });
    await database.connect();
    const { agent } = await plane.client.spawn({
      name: 'what the others are like',
      initiator: { subject: 'alice@example.com' },
    });
    like = agent.id;
    const { rows } = await database.query<{ tenant: string }>(
      'SELECT tenant FROM agent WHERE id = $1',
      [like],
    );
    tenant = rows[0]?.tenant ?? '';
  });
  afterAll(async () => {
    await database.end();
    await plane.close();
  });

  const members = async (order: string): Promise<number> => {
    const { rows } = await database.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM cascade_member WHERE order_id = $1 AND kind = 'agent'`,
      [order],
    );
    return rows[0]?.n ?? 0;
  };

  it('adds a bounded number of members with each step, however many children they have', async () => {
    const { spine } = await seedTree(
      database,
      { tenant, id: like },
      { mark: 'aa', size: AGENTS, spine: 1 },
    );
    const order = 'kil_by_hand';
    await database.query(
      `INSERT INTO cascade_member (tenant, order_id, kind, member_id, agent_id) VALUES ($1, $2, 'agent', $3, $3)`,
      [tenant, order, spine[0]],
    );
    const added: number[] = [];
    for (let step = 0, before = 1; step < 1_000; step += 1) {
      const { rows } = await database.query<{ expanded: number }>(EXPAND_BATCH, [
        tenant,
        order,
        BATCH,
      ]);
      if (rows[0]?.expanded === 0) break;
      const now = await members(order);
      added.push(now - before);
      before = now;
    }
    expect(await members(order)).toBe(AGENTS);
    // No agent has more than a thousand children, and one may overstep the bound.
    expect(Math.max(...added)).toBeLessThanOrEqual(BATCH + 1_000);
    expect(added.length).toBeGreaterThan(AGENTS / (BATCH + 1_000));
  });

  it('comes to its end, and lists all of the tree and nothing beside it', async () => {
    const { spine } = await seedTree(
      database,
      { tenant, id: like },
      { mark: 'bb', size: AGENTS, spine: 1 },
    );
    const kill = await plane.client.killAgent(
      spine[0] ?? '',
      { reason: 'a wide one' },
      { waitMs: 0 },
    );
    await eventually(
      async () =>
        expect((await plane.client.getKill(kill.id)).cascade).toMatchObject({
          state: 'done',
          agents: AGENTS,
        }),
      { timeoutMs: 60_000 },
    );
    expect((await plane.client.getAgent(like)).state).toBe('active');
  });
});
