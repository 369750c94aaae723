import { judge, type Judgement } from '../../../support/timeline';
import type { SqlTenant } from '../../../support/sql-tenant';
import { streamFaultsOf } from '../../../support/stream-faults';
import { Crowd } from './crowd';
import { createScene, type Kind, type Scene } from './scene';

export const CONNECTIONS = 6;

/** What is done to a subject while the crowd is at work. */
export interface Act {
  readonly name: string;
  readonly perform: (scene: Scene, crowd: Crowd) => Promise<void>;
}

const order = async (scene: Scene, action: 'kill' | 'suspend'): Promise<string> => {
  const { id } = await scene.tenant.order({ action, subjects: [scene.subject] });
  return id as string;
};

/** Each waits for the crowd and not for a time, so that both sides of every commit are raced for. */
export const ACTS: readonly Act[] = [
  {
    name: 'a kill',
    perform: async (scene, crowd) => {
      await crowd.busy(6);
      await order(scene, 'kill');
      await crowd.refused(6);
    },
  },
  {
    name: 'suspensions and lifts',
    perform: async (scene, crowd) => {
      for (let turn = 0; turn < 3; turn++) {
        await crowd.busy(6);
        const id = await order(scene, 'suspend');
        await crowd.refused(4);
        await scene.tenant.lift(id);
      }
      await crowd.busy(6);
    },
  },
  {
    name: 'kills and reinstatements',
    perform: async (scene, crowd) => {
      for (let turn = 0; turn < 3; turn++) {
        await crowd.busy(4);
        const id = await order(scene, 'kill');
        await crowd.refused(4);
        await scene.tenant.reinstate(scene.subject, [id]);
      }
      await crowd.busy(4);
    },
  },
];

export interface Outcome extends Judgement {
  stream: string[];
  twinRefused: number;
}

/** @returns what the oracles say, and how often the twin was refused */
export async function race(shared: SqlTenant, kind: Kind, act: Act): Promise<Outcome> {
  const scene = await createScene(shared, kind);
  const crowd = new Crowd(scene, CONNECTIONS);
  try {
    await act.perform(scene, crowd);
  } finally {
    await crowd.leave();
  }
  return {
    ...(await judge(scene.tenant, scene.wire)),
    stream: await streamFaultsOf(scene.tenant),
    twinRefused: crowd.wronged.length,
  };
}
