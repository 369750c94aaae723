import type { EnforcementPoint } from '@sever/enforcement';
import { eventually } from '../support/eventually';
import { differences } from './run/oracle';
import { decidedBy, ProxiedPlane, type Issued } from './run/proxied-plane';
import { readTruth } from './run/truth';

const KILLS = 500;
const SURVIVORS = 25;
const AT_ONCE = 6;

describe('500 kills, each message three times and a third of them late', () => {
  let proxied: ProxiedPlane;
  beforeAll(async () => {
    proxied = await ProxiedPlane.start();
  });
  afterAll(() => proxied?.close(), 180_000);

  it('leave every enforcement point with exactly what the database holds', async () => {
    const { brokerRoad } = proxied;
    const points: EnforcementPoint[] = [];
    for (const [name, mode] of [
      ['strict', 'strict'],
      ['other', 'strict'],
      ['best-effort', 'best_effort'],
    ] as const)
      points.push(await proxied.point(name, { mode }));
    const agents = await inTurns(KILLS + SURVIVORS, (at) => proxied.spawn(`agent ${at}`));
    const doomed = agents.slice(0, KILLS);

    const told = 'sever.v1.*.*';
    for (const harm of [
      { kind: 'duplicate', times: 3 },
      { kind: 'delay', fromMs: 5, toMs: 800 },
    ] as const) {
      const share = harm.kind === 'delay' ? 0.3 : 1;
      brokerRoad.impose({ subject: told, direction: 'to_client', share, harm });
    }
    const stream = brokerRoad.record('sever.v1.stream.*', 'to_client');
    const kills = await inTurns(KILLS, async (at) => {
      const { agent } = doomed[at] as Issued;
      return await proxied.kill(agent, 'flood');
    });
    expect(new Set(kills.map(({ id }) => id)).size).toBe(KILLS);

    const tenant = points[0]?.state().tenant ?? '';
    const truth = await eventually(
      async () => {
        const present = await readTruth(proxied, tenant);
        expect(present.head.seq).toBe(KILLS);
        return present;
      },
      { timeoutMs: 60_000, everyMs: 250 },
    );
    await eventually(
      () => {
        for (const { state } of points.map((point) => ({ state: point.state() })))
          expect([state.name, state.applied, state.darkBecause]).toEqual([state.name, KILLS, null]);
      },
      { timeoutMs: 90_000, everyMs: 100 },
    );
    expect(stream.messages.length).toBeGreaterThan(0);
    const asked = points.map((point) => ({
      name: point.state().name,
      check: (token: string) => decidedBy(point, token),
    }));
    await eventually(async () => expect(await differences(asked, agents, truth)).toEqual([]), {
      timeoutMs: 90_000,
      everyMs: 500,
    });
    expect(doomed.every(({ lineage }) => truth.isDead(lineage))).toBe(true);
    expect(agents.slice(KILLS).some(({ lineage }) => truth.isDead(lineage))).toBe(false);

    // The comparison does find what an enforcement point has not heard of.
    const { id } = points[0]?.state() ?? { id: '' };
    brokerRoad.impose({ subject: '>', direction: 'to_client', client: id, harm: { kind: 'drop' } });
    proxied.road.set({ lost: true });
    const unheard = await proxied.kill((agents[KILLS] as Issued).agent, 'unheard of');
    const found = await differences(asked, agents, await readTruth(proxied, tenant));
    expect(found.filter((text) => text.startsWith('strict'))).not.toEqual([]);
    expect(unheard.state).not.toBe('contained');
  }, 400_000);
});

/** Some at a time, in order of their numbers. */
async function inTurns<T>(count: number, work: (at: number) => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const one = async (): Promise<void> => {
    for (let at = next++; at < count; at = next++) results[at] = await work(at);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  return results;
}
