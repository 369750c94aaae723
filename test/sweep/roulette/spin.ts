import { setTimeout as delay } from 'node:timers/promises';
import type { SpawnReply } from '@sever/protocol';
import { untilAnswered, type Answer, type Call } from '../api';
import type { World } from '../world';
import type { MortalPostgres } from './postgres';

const WORKERS = 4;
/** After the first kill and the first spawn that a life has answered, so that a slow machine makes progress too. */
const LIFE_MS = 600;
const LONGEST_LIFE_MS = 20_000;
const ANSWER_WITHIN_MS = 10_000;
const IN_THE_END_MS = 600_000;

export interface Shot {
  readonly call: Call;
  readonly victim: SpawnReply;
  readonly twin: SpawnReply;
  readonly answer: Answer;
  /** It was reported as contained, and the enforcement point let the victim through after that. */
  readonly letThrough: boolean;
}

export interface Spun {
  readonly shots: Shot[];
  readonly deaths: { plane: number; postgres: number };
}

/**
 * Kills agents, one after the other on each of some lines, while the control plane and then Postgres are killed again and
 * again at random times. Each kill is sent again with its key until it is answered.
 */
export async function spin(
  world: World,
  postgres: MortalPostgres,
  kills: number,
  random: () => number,
): Promise<Spun> {
  const shots: Shot[] = [];
  const deaths = { plane: 0, postgres: 0 };
  let begun = 0;
  let over = false;
  let spawned = 0;
  const progress = async (): Promise<void> => {
    const before = { shots: shots.length, spawned };
    const latest = performance.now() + LONGEST_LIFE_MS;
    while (!over && performance.now() < latest) {
      if (shots.length > before.shots && spawned > before.spawned) return;
      await delay(10);
    }
  };

  const shoot = async (): Promise<void> => {
    while (begun < kills) {
      const reason = `roulette ${begun++}`;
      const [victim, twin] = [await spawn(world, reason), await spawn(world, `${reason}, twin`)];
      spawned += 1;
      const call = world.order(reason, [victim]);
      const answer = await untilAnswered(world.plane.url, call, IN_THE_END_MS, ANSWER_WITHIN_MS);
      const decision = await world.point.check(victim.credential.token);
      const letThrough = answer.body.state === 'contained' && decision.decision === 'allow';
      shots.push({ call, victim, twin, answer, letThrough });
    }
  };
  const reap = async (): Promise<void> => {
    for (let turn = 0; ; turn += 1) {
      await progress();
      await delay(random() * LIFE_MS);
      if (over) break;
      if (turn % 2 === 0) {
        await world.plane.kill();
        deaths.plane += 1;
        await world.plane.ensureRunning();
      } else {
        await postgres.kill();
        deaths.postgres += 1;
        await postgres.restart();
      }
    }
    await world.plane.ensureRunning();
  };

  const reaping = reap();
  try {
    await Promise.all(Array.from({ length: WORKERS }, shoot));
  } finally {
    over = true;
    await reaping;
  }
  return { shots, deaths };
}

async function spawn(world: World, name: string): Promise<SpawnReply> {
  const call = {
    ...{ path: '/v1/agents', key: world.key },
    body: { name, initiator: { subject: 'alice' } },
  };
  const answer = await untilAnswered(world.plane.url, call, IN_THE_END_MS, ANSWER_WITHIN_MS);
  const reply = answer.body as unknown as SpawnReply;
  world.tokens.push(reply.credential.token);
  return reply;
}
