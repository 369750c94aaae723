import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { newId } from '@sever/protocol';
import { monotonicMs } from '../measure/monotonic';
import { median, summarize } from '../measure/statistics';
import type { Figure, Goal, Result } from '../report/result';
import { Observer } from '../stage/observer';
import { Opened } from '../stage/opened';
import { startStage, type Stage } from '../stage/stage';
import { seedTree, type SeededTree } from './seed-trees';

export interface TreeSizeOptions {
  /** Agents below what is killed; the first is what the others are compared with. */
  readonly sizes: readonly number[];
  /** Kills over HTTP; before each, the listing of the one before has ended. */
  readonly kills: number;
  /** Kills by the database alone. */
  readonly bare: number;
  readonly say: (line: string) => void;
}

interface Measured {
  readonly size: number;
  readonly answered: number[];
  readonly published: number[];
  readonly listed: number[];
  readonly database: number[];
  readonly wal: number[];
}

const LISTED_WITHIN_MS = 600_000;
const QUIET_MS = 50;

/** A kill against the size of what dies by it. */
export async function killByTreeSize(options: TreeSizeOptions): Promise<Result[]> {
  const stage = await startStage();
  const opened = new Opened();
  opened.stop(stage);
  try {
    const database = new Client({ connectionString: stage.databaseUrl });
    // A server that ends before this connection does would hide why.
    database.on('error', () => undefined);
    await database.connect();
    opened.close(() => database.end());
    const measured = await overHttp(stage, database, options);
    // The listing of cascades would write into what is measured below.
    await stage.stopControlPlane();
    await byTheDatabase(database, measured, options.bare);
    return [report(measured, stage.postgres)];
  } finally {
    await opened.closeAll();
  }
}

async function overHttp(
  stage: Stage,
  database: Client,
  { sizes, kills, bare, say }: TreeSizeOptions,
): Promise<{ tree: SeededTree; of: Measured }[]> {
  const measured: { tree: SeededTree; of: Measured }[] = [];
  const like = await template(stage, database);
  for (const [at, size] of sizes.entries()) {
    say(`kill-by-tree-size: seeding ${size} agents`);
    const mark = at.toString(16).padStart(2, '0');
    // The first kill of each is not counted.
    const tree = await seedTree(database, like, { mark, size, spine: kills + 1 });
    measured.push({
      tree,
      of: { size, ...{ answered: [], published: [], listed: [], database: [], wal: [] } },
    });
  }
  const observer = await Observer.start(stage);
  await database.query('CHECKPOINT');
  await database.query('ANALYZE');
  say(`kill-by-tree-size: ${kills} kills over HTTP and ${bare} by the database for each size`);
  for (let round = 0; round <= kills; round++)
    for (const { tree, of } of measured) {
      const target = tree.spine.at(-1 - round) ?? '';
      const { body, sentAt, answeredAt } = await stage.api.kill(target, '0');
      const listed = await untilListed(stage, body.id, of.size);
      if (round === 0) continue;
      of.answered.push(answeredAt - sentAt);
      of.published.push((observer.publicationOf(body.id) ?? NaN) - sentAt);
      of.listed.push(of.size / ((listed - answeredAt) / 1_000));
    }
  await observer.stop();
  return measured;
}

async function template(stage: Stage, database: Client): Promise<{ tenant: string; id: string }> {
  const { id } = await stage.api.spawnRoot('what the seeded trees are like');
  const { rows } = await database.query<{ tenant: string }>(
    'SELECT tenant FROM agent WHERE id = $1',
    [id],
  );
  return { id, tenant: rows[0]?.tenant ?? '' };
}

/** Shared clock, milliseconds. @throws Error when the listing finds fewer than there are: the wrong thing was killed */
async function untilListed(stage: Stage, killId: string, size: number): Promise<number> {
  const deadline = monotonicMs() + LISTED_WITHIN_MS;
  while (monotonicMs() < deadline) {
    const { cascade } = await stage.api.read(killId);
    if (cascade.state === 'done') {
      if ((cascade.agents ?? 0) < size)
        throw new Error(`${cascade.agents} agents listed of ${size}`);
      return monotonicMs();
    }
    await delay(QUIET_MS);
  }
  throw new Error('the cascade was not listed in time');
}

/**
 * The same transaction without anything around it. Afterwards the kill is taken back by hand, so that the next one finds a
 * living tree again.
 */
async function byTheDatabase(
  database: Client,
  measured: { tree: SeededTree; of: Measured }[],
  kills: number,
): Promise<void> {
  const { rows } = await database.query<{ id: string }>('SELECT id FROM tenant');
  const tenant = rows[0]?.id ?? '';
  for (let round = 0; round < kills; round++)
    for (const { tree, of } of measured) {
      const target = tree.spine[0] ?? '';
      await revive(database, tenant, target);
      const before = await walPosition(database);
      const sentAt = monotonicMs();
      await database.query('SELECT sever_revoke($1, $2)', [tenant, order(target)]);
      const took = monotonicMs() - sentAt;
      const wal = (await walPosition(database)) - before;
      if (round === 0) continue;
      of.database.push(took);
      of.wal.push(wal);
    }
}

async function revive(database: Client, tenant: string, id: string): Promise<void> {
  for (const table of ['subject', 'standing_kill'])
    await database.query(`DELETE FROM ${table} WHERE tenant = $1 AND subject = $2`, [
      tenant,
      `agent:${id}`,
    ]);
}

async function walPosition(database: Client): Promise<number> {
  const { rows } = await database.query<{ at: string }>(
    `SELECT pg_current_wal_insert_lsn() - '0/0' AS at`,
  );
  return Number(rows[0]?.at);
}

function order(agentId: string): string {
  return JSON.stringify([
    {
      ...{ id: newId('kill'), action: 'kill', subjects: [{ kind: 'agent', id: agentId }] },
      ...{ only: false, reason: 'measured by a benchmark', ticket: null, idempotency: null },
      actor: { id: 'bench', name: 'bench', kind: 'operator' },
      ...{ caller: { kind: 'operator' }, audit_id: newId('audit') },
    },
  ]);
}

function report(measured: { of: Measured }[], postgres: string): Result {
  const each = measured.map(({ of }) => of);
  const [one, largest] = [each[0], each.at(-1)];
  if (one === undefined || largest === undefined) throw new RangeError('no sizes');
  const ratio = (values: keyof Measured): number =>
    median(largest[values] as number[]) / median(one[values] as number[]);
  const size = largest.size.toLocaleString('en-US');
  return {
    benchmark: 'kill-by-tree-size',
    title: 'a kill against the number of agents that die by it',
    parameters: { largest: largest.size, postgres },
    figures: each.flatMap(
      ({ size: agents, answered, published, listed, database, wal }): Figure[] => {
        const of = `${agents.toLocaleString('en-US')} agents`;
        return [
          figure(`${of}: transaction alone`, 'ms', database),
          figure(`${of}: HTTP call → published`, 'ms', published),
          figure(`${of}: HTTP call → answered (wait=0)`, 'ms', answered),
          figure(`${of}: WAL of the transaction`, 'bytes', wal),
          figure(`${of}: agents listed afterwards`, 'per s', listed),
        ];
      },
    ),
    goals: [
      goal(`transaction for ${size} agents ÷ for one`, ratio('database'), 1.1),
      goal(`HTTP call → published, ${size} agents ÷ one`, ratio('published'), 1.1),
      goal(`WAL of a kill of ${size} agents, bytes`, median(largest.wal), 2_048),
    ],
    notes: [
      'The floor is the kill of one agent. The listing of a cascade comes after the kill and is not part of it.',
    ],
    evidence: {
      kills: each.reduce(
        (sum, { answered, database }) => sum + answered.length + database.length,
        0,
      ),
    },
  };
}

function figure(what: string, unit: Figure['unit'], values: number[]): Figure {
  return { what, role: 'measured', unit, summary: summarize(values) };
}

function goal(what: string, value: number, bound: number): Goal {
  return { id: 'G4', what, value, bound, must: 'at most' };
}
