import { Client } from 'pg';
import { atMost, inTurns } from '../measure/in-turns';
import { Floors } from '../floors/floors';
import { Fleet } from '../points/fleet';
import type { Result } from '../report/result';
import { Observer } from '../stage/observer';
import { Opened } from '../stage/opened';
import { startStage, type Stage } from '../stage/stage';
import type { Living } from '../stage/api';
import { measureKill, type KillOptions, type MeasuredKill, type Scene } from './measure-kill';
import { reportKills, type Series } from './report-kills';

/** How a caller asks, most of the time: the reply waits for the proof. */
const PROVEN: KillOptions = { wait: '10s', receipts: true };
const AT_ONCE: KillOptions = { wait: '0', receipts: true };
const SILENT: KillOptions = { wait: '0', receipts: false };
const SPAWNING_AT_ONCE = 8;

export interface KillToDenyOptions {
  readonly points: readonly number[];
  readonly rounds: number;
  /** Rounds before those that count. */
  readonly warmUp: number;
  readonly say: (line: string) => void;
}

/** From the HTTP call to the last of N enforcement points that refuses, beside the floors of each step. */
export async function killToDeny(options: KillToDenyOptions): Promise<Result[]> {
  const { points, say } = options;
  const results: Result[] = [];
  for (const size of points) {
    say(`kill-to-deny: ${size} enforcement points`);
    // A control plane of its own for each size: the roster of the one before would still be waited for.
    const stage = await startStage();
    try {
      results.push(await atSize(stage, size, options));
    } finally {
      await stage.stop();
    }
  }
  return results;
}

type Rounds = Pick<KillToDenyOptions, 'rounds' | 'warmUp'>;

async function atSize(stage: Stage, size: number, rounds: Rounds): Promise<Result> {
  const opened = new Opened();
  try {
    const database = new Client({ connectionString: stage.databaseUrl });
    await database.connect();
    opened.close(() => database.end());
    const observer = opened.stop(await Observer.start(stage));
    const floors = opened.stop(await Floors.start(stage));
    const fleet = opened.stop(await Fleet.start(stage, size));
    await fleet.subscribe(stage, floors.publicKey);
    return reportKills(
      { size, rounds: rounds.rounds, postgres: stage.postgres },
      await measure({ stage, fleet, observer, database }, floors, rounds),
    );
  } finally {
    await opened.closeAll();
  }
}

async function measure(scene: Scene, floors: Floors, { rounds, warmUp }: Rounds): Promise<Series> {
  const living = await spawn(scene.stage, 3 * (rounds + warmUp) + 1);
  const next = (): Living => {
    const agent = living.pop();
    if (agent === undefined) throw new Error('too few agents for so many rounds');
    return agent;
  };
  const first = await measureKill(scene, next(), PROVEN);
  floors.messageBytes = scene.observer.sample?.length ?? floors.messageBytes;
  const warm = seriesFrom(first, floors.messageBytes);
  await inTurns(warmUp, steps(scene, floors, warm, next));
  const series = seriesFrom(first, floors.messageBytes);
  await inTurns(rounds, steps(scene, floors, series, next));
  return series;
}

function seriesFrom(first: MeasuredKill, messageBytes: number): Series {
  return {
    ...{ first, messageBytes, proven: [], atOnce: [], silent: [] },
    floors: { http: [], commit: [], bare: [], signed: [], everything: [] },
  };
}

function steps(
  scene: Scene,
  floors: Floors,
  { proven, atOnce, silent, floors: measured }: Series,
  next: () => Living,
): (() => Promise<void>)[] {
  const { fleet } = scene;
  const into = (list: number[], measureOne: () => Promise<number>) => async () =>
    void list.push(await measureOne());
  const kill = (list: MeasuredKill[], options: KillOptions) => async () =>
    void list.push(await measureKill(scene, next(), options));
  return [
    into(measured.http, () => floors.http()),
    kill(proven, PROVEN),
    into(measured.commit, () => floors.commit()),
    kill(atOnce, AT_ONCE),
    into(measured.bare, () => floors.fanOut(fleet, false)),
    into(measured.signed, () => floors.fanOut(fleet, true)),
    kill(silent, SILENT),
    into(measured.everything, () => floors.everything(fleet)),
  ];
}

async function spawn({ api }: Stage, count: number): Promise<Living[]> {
  const living: Living[] = [];
  await atMost(SPAWNING_AT_ONCE, Array.from({ length: count }), async (_, at) => {
    living.push(await api.spawnRoot(`measured ${at}`));
  });
  return living;
}
