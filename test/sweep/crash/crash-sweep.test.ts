import { startTestBroker, type TestBroker } from '../../support/broker';
import { createTestDatabase, type TestDatabase } from '../../support/cluster';
import { TcpProxy } from '../../support/tcp-proxy';
import { randomFrom, seedOfRun } from '../random';
import { World } from '../world';
import { allTrials, nameOf, run, sample } from './trials';

const seed = seedOfRun();
const wanted = process.env.SEVER_SWEEP_TRIALS ?? '14';
const trials = sample(wanted === 'all' ? allTrials().length : Number(wanted), randomFrom(seed));

describe(`a control plane that fails in the middle (SEVER_SWEEP_SEED=${seed})`, () => {
  let database: TestDatabase;
  let broker: TestBroker;
  let proxy: TcpProxy;
  let world: World;

  beforeAll(async () => {
    [database, broker] = await Promise.all([createTestDatabase(), startTestBroker()]);
    const url = new URL(database.url);
    proxy = await TcpProxy.to(Number(url.port));
    url.port = String(proxy.port);
    world = await World.create({ broker, databaseUrl: url.href, truthUrl: database.url });
  }, 120_000);
  afterAll(async () => {
    await world.close();
    await proxy.close();
    await broker.stop();
    await database.drop();
  });

  it.each(trials.map((trial, at) => [nameOf(trial), trial, at] as const))(
    'loses nothing, repeats nothing, lets nobody through: %s',
    async (name, trial, at) => {
      expect(await run(world, proxy, trial, `trial ${at}: ${name}`)).toEqual([]);
    },
    180_000,
  );

  it('ends in a state that an enforcement point which starts now takes over', async () => {
    await world.newcomerAgrees();
    expect(await world.truth.faults()).toEqual([]);
  });
});
