import { eventually } from '../support/eventually';
import { wipe } from './run/faults/servers';
import { decide, ProxiedPlane } from './run/proxied-plane';

describe('a broker that starts again with nothing of what it had stored', () => {
  let proxied: ProxiedPlane;
  beforeEach(async () => {
    proxied = await ProxiedPlane.start();
  });
  afterEach(() => proxied?.close(), 180_000);

  it('changes nothing: who was dead stays dead, who lived lives, and kills reach everybody as before', async () => {
    const { plane } = proxied;
    const [strict, bestEffort] = [
      await proxied.point('strict'),
      await proxied.point('best-effort', { mode: 'best_effort' }),
    ];
    const before = await proxied.spawn('before');
    const during = await proxied.spawn('during');
    const after = await proxied.spawn('after');
    const survivor = await proxied.spawn('survivor');
    const kill = async (agent: string, waitMs: number) =>
      await plane.client.killAgent(agent, { reason: 'x' }, { waitMs });
    expect((await kill(before.agent, 10_000)).state).toBe('contained');
    const placed = strict.state();

    await plane.broker.kill();
    expect(wipe(plane.broker)).toBeGreaterThan(0);
    const unheard = await kill(during.agent, 0);
    await plane.broker.restart();

    await eventually(
      async () => {
        for (const point of [strict, bestEffort]) {
          expect(await decide(point, before.token)).toBe('agent_revoked');
          expect(await decide(point, during.token)).toBe('agent_revoked');
          expect(await decide(point, survivor.token)).toBe('allow');
        }
      },
      { timeoutMs: 30_000 },
    );
    // Our numbers are the database's: they go on where they were, in the same epoch.
    const { epoch, applied, darkBecause } = strict.state();
    expect({ epoch, applied, darkBecause }).toEqual({
      epoch: placed.epoch,
      applied: placed.applied + 1,
      darkBecause: null,
    });
    expect((await kill(after.agent, 15_000)).state).toBe('contained');
    await eventually(
      async () => expect((await plane.client.getKill(unheard.id)).state).toBe('contained'),
      { timeoutMs: 15_000 },
    );
    expect(await decide(strict, survivor.token)).toBe('allow');
  }, 120_000);
});
