import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { Floors } from '../floors/floors';
import { atMost } from '../measure/in-turns';
import { monotonicMs } from '../measure/monotonic';
import { median, summarize } from '../measure/statistics';
import { Fleet } from '../points/fleet';
import type { Figure, Result } from '../report/result';
import type { Living } from '../stage/api';
import { Opened } from '../stage/opened';
import { startStage, type Stage } from '../stage/stage';
import { seedRoots } from '../tree-size/seed-trees';

export interface BurstOptions {
  readonly points: number;
  /** Kills in flight at a time while the sustained rate is measured. */
  readonly callers: number;
  readonly sustained: number;
  /** Kills of the burst, one each millisecond. */
  readonly burst: number;
  readonly runs: number;
  readonly say: (line: string) => void;
}

interface Run {
  /** Per second. */
  readonly sustained: number;
  readonly commits: number;
  readonly pace: number;
  /** From the last kill of the burst to the last refusal; from its first; milliseconds. */
  readonly lag: number;
  readonly whole: number;
  readonly naiveLag: number;
}

const COMMITS = 300;
const SPAWNING_AT_ONCE = 8;

/** Many kills at once: how many a second become true, and how far the enforcement points are behind. */
export async function killBurst(options: BurstOptions): Promise<Result[]> {
  const { say, points, runs } = options;
  const stage = await startStage();
  const opened = new Opened();
  opened.stop(stage);
  try {
    say(`kill-burst: ${points} enforcement points`);
    const database = new Client({ connectionString: stage.databaseUrl });
    await database.connect();
    opened.close(() => database.end());
    const floors = opened.stop(await Floors.start(stage));
    const fleet = opened.stop(await Fleet.start(stage, points));
    await fleet.subscribe(stage, floors.publicKey);
    const measured: Run[] = [];
    let refused = 0;
    for (let run = 0; run < runs; run++) {
      const [one, seen] = await measureRun({ stage, database, floors, fleet }, run, options);
      measured.push(one);
      refused += seen;
    }
    return [report(measured, refused, options, stage.postgres)];
  } finally {
    await opened.closeAll();
  }
}

interface Scene {
  readonly stage: Stage;
  readonly database: Client;
  readonly floors: Floors;
  readonly fleet: Fleet;
}

async function measureRun(
  scene: Scene,
  run: number,
  { callers, sustained, burst }: BurstOptions,
): Promise<[Run, number]> {
  const { stage, database, floors, fleet } = scene;
  const like = await stage.api.spawnRoot('what the others are like');
  const seeded = await seedRoots(database, like.id, run, sustained + burst);
  const last: Living[] = [];
  await atMost(SPAWNING_AT_ONCE, [0, 1, 2, 3], async (_, at) => {
    last.push(await stage.api.spawnRoot(`the last ${at}`));
  });
  const [afterSustained, afterBurst] = last as [Living, Living];
  const commits = await floors.commitsPerSecond(COMMITS);

  const began = monotonicMs();
  await atMost(
    callers,
    seeded.slice(0, sustained),
    async (id) => void (await stage.api.kill(id, '0')),
  );
  const rate = (sustained / (monotonicMs() - began)) * 1_000;
  await refusedBy(scene, afterSustained);

  await fleet.watch(afterBurst.token);
  const first = monotonicMs();
  const calls: Promise<unknown>[] = [];
  for (const [at, id] of seeded.slice(sustained).entries()) {
    const wait = first + at - monotonicMs();
    if (wait > 0) await delay(wait);
    calls.push(stage.api.kill(id, '0'));
  }
  // The stream is in order: whoever refuses this one has applied all the others.
  await Promise.all(calls);
  const { sentAt } = await stage.api.kill(afterBurst.id, '0');
  const seen = await fleet.seen();
  const refusedAt = Math.max(...seen.map((one) => one.refusedAt));
  await everyPointIsAtTheHead(scene);
  const naive = await floors.naiveBurst(fleet, burst);
  return [
    {
      ...{ sustained: rate, commits, pace: (burst / (sentAt - first)) * 1_000 },
      ...{ lag: refusedAt - sentAt, whole: refusedAt - first, naiveLag: naive },
    },
    seen.length,
  ];
}

async function refusedBy({ stage, fleet }: Scene, { id, token }: Living): Promise<void> {
  await fleet.watch(token);
  await stage.api.kill(id, '0');
  await fleet.seen();
}

/** Nothing lost: each holds exactly what the database has appended. */
async function everyPointIsAtTheHead({ database, fleet }: Scene): Promise<void> {
  const { rows } = await database.query<{ seq: string }>('SELECT seq FROM stream_head');
  const head = Number(rows[0]?.seq);
  for (const { applied, name } of await fleet.states())
    if (applied !== head) throw new Error(`${name} has applied ${applied} of ${head} entries`);
}

function report(
  measured: readonly Run[],
  refused: number,
  { points, callers, burst, sustained }: BurstOptions,
  postgres: string,
): Result {
  const of = (what: keyof Run): number[] => measured.map((run) => run[what]);
  const figure = (what: string, unit: Figure['unit'], values: number[], role: Figure['role']) => ({
    ...{ what, unit, role, summary: summarize(values) },
  });
  return {
    benchmark: 'kill-burst',
    title: `many kills at once, ${points} enforcement points`,
    parameters: { points, callers, burst, sustained, postgres },
    figures: [
      figure('durable commits on one connection', 'per s', of('commits'), 'floor'),
      figure(
        `${burst} single messages, each verified and answered: last sent → last verified`,
        'ms',
        of('naiveLag'),
        'floor',
      ),
      figure(`kills, ${callers} callers`, 'per s', of('sustained'), 'measured'),
      figure(`burst of ${burst} kills, pace reached`, 'per s', of('pace'), 'measured'),
      figure('burst: last kill sent → last refusal', 'ms', of('lag'), 'measured'),
      figure('burst: first kill sent → last refusal', 'ms', of('whole'), 'measured'),
    ],
    goals: [
      {
        ...{ id: 'G5', what: 'kills sustained ÷ commits on one connection' },
        value: median(measured.map((run) => run.sustained / run.commits)),
        ...{ bound: 2, must: 'at least' },
      },
      {
        ...{ id: 'G5', what: 'lag after the burst ÷ that of single, answered messages' },
        value: median(measured.map((run) => run.lag / run.naiveLag)),
        ...{ bound: 1 / 20, must: 'at most' },
      },
    ],
    notes: [
      'After each burst every enforcement point is at the head of the stream, or the run fails.',
      'Each enforcement point verifies the signature of each entry, on the same cores: so many times 80 µs are in the lag.',
    ],
    evidence: { kills: measured.length * (burst + sustained), last_kill_refused_by: refused },
  };
}
