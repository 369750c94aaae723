import type { Failpoint } from '../../../src/config/failpoints';
import type { TcpProxy } from '../../support/tcp-proxy';
import { judge } from '../../support/timeline';
import { attempt, isFinal, untilAnswered, type Answer } from '../api';
import { shuffled } from '../random';
import type { World } from '../world';
import { ACTS, type Act } from './acts';

/** How the process fails at the failpoint, and for one that stands still, how that ends. */
export const FAILURES = [
  'exit',
  'stop, then thaw',
  'stop, then kill',
  'sleep(600)',
  'throw',
] as const;
export type Failure = (typeof FAILURES)[number];

export interface Trial {
  readonly act: Act;
  readonly failpoint: Failpoint;
  readonly failure: Failure;
}

export const nameOf = ({ act, failpoint, failure }: Trial): string =>
  `${act.name}, ${failpoint}: ${failure}`;

/** Every combination there is. */
export function allTrials(): Trial[] {
  return ACTS.flatMap((act) =>
    act.failpoints.flatMap((failpoint) => FAILURES.map((failure) => ({ act, failpoint, failure }))),
  );
}

/** A sample in which each act has its turn before any has a second one. */
export function sample(size: number, random: () => number): Trial[] {
  const left = shuffled(allTrials(), random);
  const chosen: Trial[] = [];
  while (chosen.length < size && left.length > 0)
    for (const act of shuffled(ACTS, random)) {
      const at = left.findIndex((trial) => trial.act === act);
      if (at !== -1 && chosen.length < size) chosen.push(...left.splice(at, 1));
    }
  return chosen;
}

/** @returns what was wrong in the end; nothing, when all holds */
export async function run(
  world: World,
  database: TcpProxy,
  { act, failpoint, failure }: Trial,
  reason: string,
): Promise<string[]> {
  const { plane, truth } = world;
  const twin = await world.root(`${reason}, twin`);
  const { calls, verify } = await act.prepare(world, reason);
  plane.arm(failpoint, failure.split(',', 1)[0] as string);
  if (act.databaseAway) database.partition();
  const first = calls.map((call) => attempt(plane.url, call));
  try {
    await plane.untilHit();
    await fail(world, failure, first);
  } finally {
    plane.disarm();
    database.heal();
    await plane.ensureRunning();
  }
  const answers: Answer[] = [];
  for (const [at, call] of calls.entries()) {
    const answer = await (first[at] as Promise<Answer | null>);
    answers.push(isFinal(answer) ? answer : await untilAnswered(plane.url, call));
  }
  const faults = await verify(answers);
  faults.push(...(await truth.faults()));
  for (const wire of await wiresOf(world, reason)) {
    const { late, wrong } = await judge(await truth.tenant(), wire);
    faults.push(...late.map((id) => `${id} was issued while ${wire} was stopped`));
    faults.push(...wrong.map((id) => `${id} is not what the orders of ${wire} say`));
  }
  await world.agrees();
  const allowed = await world.point.check(twin.credential.token);
  if (allowed.decision !== 'allow') faults.push(`the twin is refused: ${allowed.code}`);
  return faults;
}

/** Lets it happen, up to where the process runs again or is to be started anew. */
async function fail(
  { plane }: World,
  failure: Failure,
  first: readonly Promise<Answer | null>[],
): Promise<void> {
  switch (failure) {
    case 'exit':
      return plane.untilDead();
    case 'stop, then kill':
      return plane.kill();
    case 'stop, then thaw':
      plane.disarm();
      await plane.thaw();
      await Promise.all(first);
      return;
    case 'sleep(600)':
    case 'throw':
      await Promise.all(first);
  }
}

async function wiresOf(world: World, reason: string): Promise<string[]> {
  const rows = await world.truth.rows<{ wire: string }>(
    `SELECT DISTINCT 'agent:' || (s->>'id') AS wire FROM revocation, jsonb_array_elements(subjects) s
     WHERE starts_with(reason, $1)`,
    [reason],
  );
  return rows.map(({ wire }) => wire);
}
