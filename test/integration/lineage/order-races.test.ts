import { createTestDatabase, type TestDatabase } from '../../support/cluster';
import { SqlTenant } from '../../support/sql-tenant';
import { dawdle, removeFence } from '../../support/unprotected';
import { ACTS, CONNECTIONS, race } from './race/race';
import { KINDS } from './race/scene';

const ROUNDS = 3;
const CASES = KINDS.flatMap((kind) => ACTS.map((act) => [act.name, kind, act] as const));

describe('spawns and mints that race with orders of every kind', () => {
  let database: TestDatabase;
  let tenant: SqlTenant;

  beforeAll(async () => {
    database = await createTestDatabase();
    tenant = await SqlTenant.create(database.url, CONNECTIONS + 4);
  });
  afterAll(async () => {
    await tenant.close();
    await database.drop();
  });

  it.each(CASES)(
    'let nothing slip past %s, by %s, and leave a stream that holds',
    async (_, kind, act) => {
      let issued = 0;
      for (let round = 0; round < ROUNDS; round++) {
        const judgement = await race(tenant, kind, act);
        expect(judgement).toMatchObject({ late: [], wrong: [], stream: [], twinRefused: 0 });
        issued += judgement.issued;
      }
      expect(issued).toBeGreaterThan(ROUNDS);
    },
  );
});

describe('without the fence', () => {
  let database: TestDatabase;
  let tenant: SqlTenant;

  beforeAll(async () => {
    database = await createTestDatabase();
    await removeFence(database.url);
    await dawdle(database.url);
    tenant = await SqlTenant.create(database.url, CONNECTIONS + 4);
  });
  afterAll(async () => {
    await tenant.close();
    await database.drop();
  });

  it.each(CASES)('something slips past %s, by %s, so the race can fail', async (_, kind, act) => {
    let slipped = 0;
    for (let round = 0; round < 20 && slipped === 0; round++) {
      const { late, wrong } = await race(tenant, kind, act);
      slipped += late.length + wrong.length;
    }
    expect(slipped).toBeGreaterThan(0);
  });
});
