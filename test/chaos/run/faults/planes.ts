import type { Randomness } from '../../../model/randomness';
import type { Fault, Scene } from '../fault';
import type { Plane } from '../planes';

const FAILPOINT_KILLS = [
  ['F1', 'kill.before_commit', 'dies before the commit of a kill'],
  ['F2', 'kill.after_commit', 'dies between commit and publication of a kill'],
  ['F3', 'kill.after_publish', 'dies after the publication of a kill, before it answers'],
  ['F4', 'cascade.batch', 'dies between two batches of a cascade'],
] as const;

/** Not within: the cascade is listed after the answer. */
const DIES_WITHIN_MS = 5_000;

export const planeFaults: Fault[] = [
  ...FAILPOINT_KILLS.map(([id, failpoint, what]): Fault => ({
    ...{ id, lane: 'servers', lasts: [500, 3_000] },
    what: `a replica ${what}`,
    begin: async (scene, random) => {
      const { planes } = scene.world;
      const plane = pick(scene, random);
      await planes.restartDoomed(plane, `${failpoint}=exit`);
      // Whoever orders a kill of it next ends it; here is one for sure.
      const victim = random.pick(scene.population.agents) ?? (await scene.workload.spawnRoot());
      const dead = plane.child?.death();
      if (victim !== null) await scene.workload.killAt(plane.url, victim.id);
      await Promise.race([dead, new Promise((resolve) => setTimeout(resolve, DIES_WITHIN_MS))]);
      return () => planes.restart(plane);
    },
  })),
  {
    ...{ id: 'F5', lane: 'servers', lasts: [1_500, 3_000] },
    what: 'somebody holds the fence of a tree and does not come back',
    begin: async ({ world, workload, population }, random) => {
      const victim = random.pick(population.agents);
      const holder = await world.database.connect();
      await holder.query('BEGIN');
      if (victim !== undefined) {
        await holder.query('SELECT sever_fence_shared($1, $2)', [
          world.tenant,
          [`agent:${victim.root}`],
        ]);
        // It must not wait for the holder: a kill ends whoever stands in its way.
        workload.killMeanwhile([{ kind: 'agent', id: victim.id }]);
      }
      return async () => void (await holder.end().catch(() => undefined));
    },
  },
  {
    ...{ id: 'F6', lane: 'servers', lasts: [3_000, 6_000] },
    what: 'a replica stands still for longer than a lease, and goes on with what it had',
    begin: async (scene, random) => {
      const plane = pick(scene, random);
      plane.child?.signal('SIGSTOP');
      plane.isFrozen = true;
      return () => {
        plane.child?.signal('SIGCONT');
        plane.isFrozen = false;
      };
    },
  },
  {
    ...{ id: 'F7', lane: 'servers', lasts: [200, 1_000] },
    what: 'a replica is killed and comes back, while another relays the same entries',
    begin: async (scene, random) => {
      const plane = pick(scene, random);
      await plane.child?.kill();
      return () => scene.world.planes.start(plane);
    },
  },
];

function pick({ world }: Scene, random: Randomness): Plane {
  const plane = random.pick(world.planes.all);
  if (plane === undefined) throw new Error('there is no replica');
  return plane;
}
