import { Client } from 'pg';
import { SqlTenant, type Born } from '../../support/sql-tenant';
import { createTestDatabase, type TestDatabase } from '../../support/cluster';

const WORKERS = 6;
const KILLS = 25;

/** Spawns under random members of a tree until the tree refuses, then says how many were born too late. */
async function raceOnce(tenant: SqlTenant): Promise<number> {
  const root = await tenant.root();
  const members: Born[] = [root];
  let dead = false;
  const worker = async (): Promise<void> => {
    while (!dead) {
      const parent = members[Math.floor(Math.random() * members.length)] as Born;
      const answer = await tenant.spawn(parent);
      if ('agentId' in answer) members.push(answer as Born);
      else if (answer.problem === 'ancestor_revoked') return;
    }
  };
  const workers = Array.from({ length: WORKERS }, worker);
  await new Promise((resolve) => setTimeout(resolve, 5 + Math.random() * 10));
  const kill = await tenant.kill({ kind: 'agent', id: root.agentId });
  await new Promise((resolve) => setTimeout(resolve, 15));
  dead = true;
  await Promise.all(workers);
  return bornAfter(tenant, root.agentId, kill.id as string);
}

/** The oracle: Postgres' own record of commit times. No row of the tree may have been committed after the kill. */
async function bornAfter(tenant: SqlTenant, root: string, kill: string): Promise<number> {
  const [row] = await tenant.read(
    `SELECT count(*)::int AS late FROM agent a, revocation r
     WHERE a.tenant = $1 AND a.root_id = $2 AND r.tenant = $1 AND r.id = $3
       AND pg_xact_commit_timestamp(a.xmin) > pg_xact_commit_timestamp(r.xmin)`,
    [tenant.id, root, kill],
  );
  return row?.late as number;
}

describe('the fence between a kill and what is being born', () => {
  let database: TestDatabase;
  let tenant: SqlTenant;

  beforeAll(async () => {
    database = await createTestDatabase();
    tenant = await SqlTenant.create(database.url, WORKERS + 4);
  });

  afterAll(async () => {
    await tenant.close();
    await database.drop();
  });

  it('lets no agent be committed under a killed root after the kill, whatever races with it', async () => {
    let late = 0;
    for (let kill = 0; kill < KILLS; kill++) late += await raceOnce(tenant);
    expect(late).toBe(0);
  });

  it('leaves a neighbouring tree free to spawn while this one is killed', async () => {
    const [killed, neighbour] = [await tenant.root(), await tenant.root()];
    const spawns = Promise.all(Array.from({ length: 20 }, () => tenant.spawn(neighbour)));
    await tenant.kill({ kind: 'agent', id: killed.agentId });
    expect((await spawns).filter((answer) => 'problem' in answer)).toEqual([]);
    expect(await tenant.denial(neighbour.lineage)).toBeNull();
  });

  it('catches late births once the fence is taken away, so the test above can fail', async () => {
    const open = await createTestDatabase();
    const admin = new Client({ connectionString: open.url });
    await admin.connect();
    for (const kind of ['shared', 'exclusive'])
      await admin.query(
        `CREATE OR REPLACE FUNCTION sever_fence_${kind}(p_tenant text, p_subjects text[]) RETURNS void
         LANGUAGE sql VOLATILE AS $$ SELECT $$`,
      );
    // The window between check and commit, a little wider than luck makes it.
    await admin.query(
      `CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.003); RETURN NEW; END $$`,
    );
    await admin.query(
      `CREATE TRIGGER dawdle AFTER INSERT ON agent FOR EACH ROW EXECUTE FUNCTION dawdle()`,
    );
    await admin.end();
    const unfenced = await SqlTenant.create(open.url, WORKERS + 4);
    let late = 0;
    for (let kill = 0; kill < KILLS && late === 0; kill++) late += await raceOnce(unfenced);
    await unfenced.close();
    await open.drop();
    expect(late).toBeGreaterThan(0);
  });

  it('lets exactly as many children be born as the cap says, however many ask at once', async () => {
    const parent = await tenant.root({ maxChildren: 7 });
    const answers = await Promise.all(Array.from({ length: 40 }, () => tenant.spawn(parent)));
    expect(answers.filter((answer) => 'agentId' in answer)).toHaveLength(7);
    expect(
      new Set(answers.flatMap((answer) => ('problem' in answer ? [answer.problem] : []))),
    ).toEqual(new Set(['too_many_children']));
  });
});
