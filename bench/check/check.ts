import { Client } from 'pg';
import { atMost } from '../measure/in-turns';
import { median, summarize } from '../measure/statistics';
import type { Figure, Goal, Result } from '../report/result';
import { Child } from '../stage/processes';
import { startStage, type Stage } from '../stage/stage';

export interface CheckOptions {
  /** Floors in the enforcement point's view. */
  readonly sizes: readonly number[];
  readonly tokens: number;
  readonly batches: number;
  readonly say: (line: string) => void;
}

/** Among which a warm decision is asked for: as many agents as one tool server sees at a time. */
const HOT_TOKENS = 50;
const SPAWNING_AT_ONCE = 8;
/** What a Redis GET took on two shared cores when this project chose its goals, µs. It is not measured here. */
const REDIS_GET_US = 48;

/** What one decision costs, by what the enforcement point has to remember. */
export async function check(options: CheckOptions): Promise<Result[]> {
  const results: Result[] = [];
  for (const size of options.sizes) {
    options.say(`check: ${size} floors`);
    const stage = await startStage();
    try {
      results.push(await atSize(stage, size, options));
    } finally {
      await stage.stop();
    }
  }
  return results;
}

type Series = Record<
  'like' | 'alone' | 'first' | 'hot' | 'one' | 'tool' | 'changing' | 'map',
  number[]
> & { readonly connectMs: number };

async function atSize(
  stage: Stage,
  size: number,
  { tokens: count, batches }: CheckOptions,
): Promise<Result> {
  await raiseFloors(stage.databaseUrl, size);
  const tokens: string[] = [];
  await atMost(SPAWNING_AT_ONCE, Array.from({ length: count }), async (_, at) => {
    tokens.push((await stage.api.spawnRoot(`asks ${at}`)).token);
  });
  const jwk = await stage.api.tokenKey();
  const child = Child.start('bench/check/check-process.ts');
  try {
    const { api, folder } = stage;
    const address = { name: 'bench-check', url: api.url, key: api.key, folder };
    const { ms } = await child.ask<{ ms: number }>('connect', { address });
    const hot = { tokens: tokens.slice(0, HOT_TOKENS), batches };
    const ask = (question: string, input: object): Promise<number[]> => child.ask(question, input);
    // Half the tokens before, half after: what is compared shares the weather.
    const [early, late] = [tokens.slice(0, count / 2), tokens.slice(count / 2)];
    const first = await ask('firstSight', { tokens: early });
    const like = await ask('verifyLikeIt', { tokens, jwk });
    const alone = await ask('verifyAlone', { tokens, jwk });
    first.push(...(await ask('firstSight', { tokens: late })));
    return report(size, stage.postgres, {
      ...{ first, like, alone, connectMs: ms },
      map: await ask('map', { ...hot, size }),
      hot: await ask('hot', hot),
      one: await ask('hot', { ...hot, tokens: tokens.slice(0, 1) }),
      tool: await ask('hotWithTool', hot),
      changing: await ask('changing', hot),
    });
  } finally {
    await child.stop();
  }
}

/** As so many kills of the last minutes would have left them. */
async function raiseFloors(databaseUrl: string, size: number): Promise<void> {
  const database = new Client({ connectionString: databaseUrl });
  await database.connect();
  try {
    await database.query(
      `INSERT INTO subject (tenant, subject, floor, floor_order, floor_action, floored_at)
       SELECT t.id, 'agent:agt_0ff' || lpad(to_hex(n), 23, '0'), 4294967296, 'kil_0ff' || lpad(to_hex(n), 23, '0'),
              'kill', now()
       FROM tenant t, generate_series(1, $1::int) n`,
      [size],
    );
  } finally {
    await database.end();
  }
}

function report(size: number, postgres: string, series: Series): Result {
  const floors = size.toLocaleString('en-US');
  return {
    benchmark: 'check',
    title: `one decision, ${floors} floors in the view`,
    parameters: { floors: size, hot_tokens: HOT_TOKENS, postgres },
    figures: [
      figure('Map lookup by the whole token, awaited', series.map, 'floor'),
      figure('Ed25519 verification, node:crypto', series.alone, 'floor'),
      figure('Ed25519 verification, the library in use', series.like, 'floor'),
      figure(`check(), ${HOT_TOKENS} tokens seen before, in turns`, series.hot),
      figure('check(), one token again and again', series.one),
      figure('check() with a tool', series.tool),
      figure('check(), the view changes before each', series.changing),
      figure('check(), first sight of a token', series.first),
      { ...figure('start of the enforcement point', [series.connectMs]), unit: 'ms' },
    ],
    goals: goals(size, series),
    notes: [
      'Microseconds of processor time, all threads of the process together.',
      `Redis is no part of this run. Its GET once took ${REDIS_GET_US} µs on two shared cores: that is where the bounds of G7 come from.`,
    ],
    evidence: { tokens: series.first.length, warm_batches: series.hot.length },
  };
}

function goals(size: number, { hot, first, like }: Series): Goal[] {
  const bound = size > 100_000 ? REDIS_GET_US / 20 : 0.5;
  return [
    {
      ...{ id: 'G7', what: 'check() of a token seen before, µs', value: median(hot) },
      bound,
      must: 'at most',
    },
    {
      ...{ id: 'G8', what: 'first sight ÷ verification by the library' },
      value: median(first) / median(like),
      ...{ bound: 1.15, must: 'at most' },
    },
  ];
}

function figure(what: string, values: number[], role: Figure['role'] = 'measured'): Figure {
  return { what, role, unit: 'µs', summary: summarize(values) };
}
