import { setTimeout as delay } from 'node:timers/promises';
import { Randomness } from '../../model/randomness';
import { check } from '../history/checker';
import { History } from '../history/history';
import { Api } from './api';
import type { Lane, Scene } from './fault';
import { askDatabase, compareWithDatabase, converge } from './oracle';
import { Population } from './population';
import { Prober } from './prober';
import { plan } from './schedule';
import { readCommits } from './truth';
import { Workload } from './workload';
import { World } from './world';

export interface ChaosOptions {
  readonly seed: number;
  readonly seconds: number;
  /** Ids of the fault matrix; none = all of them. */
  readonly faults: readonly string[];
  readonly log: (line: string) => void;
  /** Also write the history there. */
  readonly historyFile?: string;
}

export interface ChaosReport {
  readonly violations: readonly string[];
  /** How often each fault happened. */
  readonly faults: Readonly<Record<string, number>>;
  readonly counts: Readonly<Record<string, number>>;
  readonly convergedMs: number | null;
}

/** The command that makes the same things go wrong in the same order. */
export function replayCommand({ seed, seconds, faults }: ChaosOptions): string {
  const only = faults.length === 0 ? '' : ` --fault ${faults.join(',')}`;
  return `npm run chaos -- --seconds ${seconds} --seed ${seed}${only}`;
}

/** One run: servers and enforcement points at work, things going wrong, then silence, then the questions. */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { seed, seconds, log, historyFile } = options;
  const history = new History(historyFile);
  const random = new Randomness(seed);
  const planes = 1 + Math.floor(random.next() * 3);
  log(`seed ${seed}, ${seconds} s, ${planes} replicas`);
  const world = await World.start({ seed, planes, history, log });
  const population = new Population(history);
  const api = new Api(world.planes, world.key);
  const share = (): Randomness => new Randomness(Math.floor(random.next() * 2 ** 31));
  const workload = new Workload({ api, population, history, random: share() });
  const probers = world.points.map((point) => new Prober(point, population, history, share()));
  const scene: Scene = { world, workload, population, deniedByThemselves: new Set(), log };
  const happened: Record<string, number> = {};
  try {
    const until = performance.now() + seconds * 1_000;
    const working = workload.run();
    const probing = probers.map((prober) => prober.run());
    await Promise.all(
      (['servers', 'points'] as const).map((lane) =>
        goWrong(scene, options, lane, until, happened),
      ),
    );
    log('no more faults');
    workload.stop();
    await working;
    const violations: string[] = [];
    const convergedMs = await converge(world).catch((error: Error) => {
      violations.push(error.message);
      return null;
    });
    for (const prober of probers) prober.stop();
    await Promise.all(probing);
    violations.push(
      ...(await compareWithDatabase(world, population, scene.deniedByThemselves)),
      ...(await askDatabase(world.database, world.tenant, workload.acknowledged)),
      ...world.sdks.flatMap(({ name, darkBecause }) =>
        darkBecause === null ? [] : [`${name} is dark: ${darkBecause}`],
      ),
      ...world.deaths,
      ...workload.faults,
    );
    for (const commit of await readCommits(world.database, world.tenant)) history.add(commit);
    violations.push(
      ...check(history.events).map(({ invariant, detail }) => `${invariant}: ${detail}`),
    );
    const counts = { ...workload.counts, ...countEvents(history) };
    return { violations, faults: happened, counts, convergedMs };
  } finally {
    api.stop();
    workload.stop();
    for (const prober of probers) prober.stop();
    await world.stop();
    await history.close();
  }
}

async function goWrong(
  scene: Scene,
  { seed, faults }: ChaosOptions,
  lane: Lane,
  until: number,
  happened: Record<string, number>,
): Promise<void> {
  for (const { fault, afterMs, lastsMs, seed: own } of plan(seed, lane, faults)) {
    if (performance.now() + afterMs + lastsMs > until) return;
    await delay(afterMs);
    scene.log(`${fault.id}: ${fault.what} (${Math.round(lastsMs)} ms)`);
    const mend = await fault.begin(scene, new Randomness(own));
    await delay(lastsMs);
    await mend();
    happened[fault.id] = (happened[fault.id] ?? 0) + 1;
  }
}

function countEvents({ events }: History): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { kind } of events) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}
