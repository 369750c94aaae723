import { Pool } from 'pg';
import { pino } from 'pino';
import { Continuity } from '../../../src/database/continuity';
import { HighWater } from '../../../src/database/high-water';
import { ChaosProxy } from '../../chaos/proxy/chaos-proxy';
import { createTestDatabase, type TestDatabase } from '../../support/cluster';
import { eventually } from '../../support/eventually';
import { createRunFolder } from '../../support/run-folder';

describe('a database that is lost while a new connection asks whether it has gone back', () => {
  let database: TestDatabase;
  let road: ChaosProxy;

  beforeEach(async () => {
    database = await createTestDatabase();
    road = await ChaosProxy.to(Number(new URL(database.url).port));
  });
  afterEach(async () => {
    await road.close();
    await database.drop();
  });

  it('fails that connection and nothing else: the process goes on, and the next one is good', async () => {
    const url = new URL(database.url);
    url.port = String(road.port);
    const log = pino({ level: 'silent' });
    const continuity = new Continuity({
      databaseUrl: url.href,
      highWater: HighWater.open(createRunFolder('test-marks'), 'marks', log),
      log,
      enabled: true,
    });
    let asked = 0;
    const pool = new Pool({
      connectionString: url.href,
      verify: (client, done) => {
        // Its question goes out, and is not answered.
        if (asked === 0) road.set({ closed: true }, ['to_client']);
        asked += 1;
        continuity.verify(client, done);
      },
    });
    pool.on('error', () => undefined);
    try {
      const connecting = pool.connect();
      const failed = expect(connecting).rejects.toThrow();
      await eventually(() => expect(asked).toBe(1));
      road.reset();
      await failed;
      road.heal();
      const { rows } = await pool.query<{ one: number }>('SELECT 1 AS one');
      expect(rows).toEqual([{ one: 1 }]);
      expect(asked).toBe(2);
    } finally {
      await pool.end();
    }
  });
});
