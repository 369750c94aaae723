import { startTestBroker, type TestBroker } from '../../support/broker';
import { untilAnswered } from '../api';
import { randomFrom, seedOfRun } from '../random';
import { World } from '../world';
import { MortalPostgres } from './postgres';
import { spin } from './spin';

const seed = seedOfRun();
const KILLS = Number(process.env.SEVER_ROULETTE_KILLS ?? '20');
/** A start of a process is most of it. */
const WITHIN_MS = 120_000 + KILLS * 10_000;

describe(`SIGKILL roulette (SEVER_SWEEP_SEED=${seed})`, () => {
  let broker: TestBroker;
  let postgres: MortalPostgres;
  let world: World;

  beforeAll(async () => {
    [postgres, broker] = await Promise.all([MortalPostgres.start(), startTestBroker()]);
    world = await World.create({ broker, databaseUrl: postgres.url, truthUrl: postgres.url });
  }, 120_000);
  afterAll(async () => {
    await world.close();
    await broker.stop();
    await postgres.stop();
  });

  it(
    `carries out ${KILLS} kills exactly once each, while control plane and Postgres are killed`,
    async () => {
      const { shots, deaths } = await spin(world, postgres, KILLS, randomFrom(seed));
      expect(shots).toHaveLength(KILLS);
      expect(Math.min(deaths.plane, deaths.postgres)).toBeGreaterThan(0);
      expect(shots.filter(({ answer }) => answer.status > 202)).toEqual([]);
      expect(shots.filter(({ letThrough }) => letThrough)).toEqual([]);

      const states: Record<string, number> = {};
      for (const { call, answer } of shots) {
        const again = await untilAnswered(world.plane.url, call);
        expect(again.body.id).toBe(answer.body.id);
        const { reason } = call.body as { reason: string };
        expect(await world.truth.ordersBecause(reason)).toEqual([answer.body.id]);
        const state = String(answer.body.state);
        states[state] = (states[state] ?? 0) + 1;
      }
      const [row] = await world.truth.rows<{ kills: number }>(
        `SELECT count(*)::int AS kills FROM revocation`,
      );
      expect(row?.kills).toBe(KILLS);
      expect(await world.truth.faults()).toEqual([]);

      await world.agrees();
      await world.newcomerAgrees();
      const fresh = shots.slice(-20);
      for (const { victim, twin } of fresh) {
        expect(await world.point.check(victim.credential.token)).toMatchObject({
          code: 'agent_revoked',
        });
        expect((await world.point.check(twin.credential.token)).decision).toBe('allow');
      }
      console.info(
        `${KILLS} kills, ${deaths.plane} deaths of the control plane, ${deaths.postgres} of Postgres; first answers: ${JSON.stringify(states)}`,
      );
    },
    WITHIN_MS,
  );
});
