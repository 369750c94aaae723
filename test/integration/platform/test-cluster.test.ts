import { Client } from 'pg';
import { createTestDatabase, type TestDatabase } from '../../support/cluster';

describe("the tests' own Postgres", () => {
  const databases: TestDatabase[] = [];
  const clients: Client[] = [];

  async function connected(): Promise<Client> {
    const database = await createTestDatabase();
    databases.push(database);
    const client = new Client({ connectionString: database.url });
    await client.connect();
    clients.push(client);
    return client;
  }

  afterAll(async () => {
    await Promise.all(clients.map((client) => client.end()));
    await Promise.all(databases.map((database) => database.drop()));
  });

  it('gives every file a migrated database of its own, also when two ask at once', async () => {
    const [one, other] = await Promise.all([connected(), connected()]);
    await one.query('CREATE TABLE only_here (id int)');
    const find = "SELECT to_regclass('only_here') AS mine, to_regclass('stream_entry') AS migrated";
    expect((await one.query(find)).rows).toEqual([{ mine: 'only_here', migrated: 'stream_entry' }]);
    expect((await other.query(find)).rows).toEqual([{ mine: null, migrated: 'stream_entry' }]);
  });

  it('keeps commit timestamps, which tell whether an unanswered commit happened', async () => {
    const client = await connected();
    const { rows } = await client.query('SHOW track_commit_timestamp');
    expect(rows).toEqual([{ track_commit_timestamp: 'on' }]);
  });
});
