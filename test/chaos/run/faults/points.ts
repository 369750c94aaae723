import type { Randomness } from '../../../model/randomness';
import { DIRECTIONS, type Direction } from '../../proxy/chaos-proxy';
import type { Conditions } from '../../proxy/way';
import type { Fault, Scene } from '../fault';
import type { Point, SidecarPoint } from '../points';

/** Both roads of one enforcement point at once. */
function cutOff(
  { world: { brokerRoad, points } }: Scene,
  random: Randomness,
  conditions: Conditions,
  directions: readonly Direction[] = DIRECTIONS,
): () => void {
  const point = random.pick(points) as Point;
  brokerRoad.setClient(point.id, conditions, directions);
  point.road.set(conditions, directions);
  return () => {
    brokerRoad.healClient(point.id);
    point.road.heal();
  };
}

export const pointFaults: Fault[] = [
  {
    ...{ id: 'F24', lane: 'points', lasts: [1_000, 6_000] },
    what: 'an enforcement point is cut off, and nobody is told',
    begin: async (scene, random) =>
      cutOff(scene, random, random.chance(0.5) ? { lost: true } : { closed: true }),
  },
  {
    ...{ id: 'F25', lane: 'points', lasts: [1_000, 5_000] },
    what: 'an enforcement point hears, and what it says is lost',
    begin: async (scene, random) => cutOff(scene, random, { lost: true }, ['to_server']),
  },
  {
    ...{ id: 'F26', lane: 'points', lasts: [1_000, 5_000] },
    what: 'an enforcement point is deaf, and what it says arrives',
    begin: async (scene, random) => cutOff(scene, random, { lost: true }, ['to_client']),
  },
  {
    ...{ id: 'F24 half', lane: 'points', lasts: [500, 2_000] },
    what: 'one end of a connection is gone, and the other is not told',
    begin: async ({ world: { brokerRoad, points } }, random) => {
      const point = random.pick(points) as Point;
      const gone = random.chance(0.5) ? 'client' : 'server';
      brokerRoad.halfOpenClient(point.id, gone);
      for (const link of [...point.road.links]) link.halfOpen(gone);
      return () => undefined;
    },
  },
  {
    ...{ id: 'F24 slow', lane: 'points', lasts: [1_500, 4_000] },
    what: 'a slow and thin road, then a reset',
    begin: async ({ world: { brokerRoad, points } }, random) => {
      const point = random.pick(points) as Point;
      brokerRoad.setClient(point.id, { delayMs: 300, bytesPerSecond: 20_000 });
      return () => {
        brokerRoad.resetClient(point.id);
        brokerRoad.healClient(point.id);
      };
    },
  },
  {
    ...{ id: 'F27', lane: 'points', lasts: [1_200, 4_000] },
    what: 'a sidecar is frozen while kills go on, and thaws',
    begin: async ({ world: { sidecars } }, random) => {
      const { child } = random.pick(sidecars) as SidecarPoint;
      child.signal('SIGSTOP');
      return () => child.signal('SIGCONT');
    },
  },
  {
    ...{ id: 'F28', lane: 'points', lasts: [0, 500] },
    what: 'a sidecar is killed, and another process takes its keys',
    begin: async ({ world: { sidecars } }, random) => {
      const sidecar = random.pick(sidecars) as SidecarPoint;
      await sidecar.child.kill();
      return () => sidecar.boot();
    },
  },
];
