import { comparePositions } from '@sever/protocol';
import { eventually } from '../../support/eventually';
import type { Point } from './points';
import type { Credential, Population } from './population';
import { readTruth, type Queryable, type Truth } from './truth';
import type { Acknowledged } from './workload';
import type { World } from './world';

/** Reconnects and retries wait a little longer each time they fail; the longest such wait, and a slow machine. */
const CONVERGE_MS = 150_000;
/** A busy machine lets a lease of two seconds run out once more; what is wrong for good stays wrong. */
const SETTLE_MS = 30_000;
const EXPIRY_MARGIN_MS = 5_000;

/** I9: with no fault left, everybody gets to the head. @returns after how many milliseconds. @throws */
export async function converge(world: World): Promise<number> {
  const began = performance.now();
  await eventually(
    async () => {
      const { head } = await readTruth(world.database, world.tenant);
      for (const point of world.points) {
        const { position, ready } = await point.show();
        if (!ready || comparePositions(position, head) !== 0)
          throw new Error(
            `I9: ${point.name} is at ${position.epoch}.${position.seq}${ready ? '' : ', not ready'}; the head is ${head.epoch}.${head.seq}`,
          );
      }
    },
    { timeoutMs: CONVERGE_MS, everyMs: 50 },
  );
  return Math.round(performance.now() - began);
}

/**
 * Every enforcement point refuses exactly what the database says is dead.
 *
 * @param except subjects that enforcement points deny on their own account, as those of an op that they do not know
 */
export async function compareWithDatabase(
  world: World,
  population: Population,
  except: ReadonlySet<string> = new Set(),
): Promise<string[]> {
  const until = performance.now() + SETTLE_MS;
  for (;;) {
    const found = await comparedOnce(world, population, except);
    if (found.length === 0 || performance.now() > until) return found;
  }
}

async function comparedOnce(
  world: World,
  population: Population,
  except: ReadonlySet<string>,
): Promise<string[]> {
  const truth = await readTruth(world.database, world.tenant);
  const credentials = population.credentials.filter(
    ({ expiresAt, lineage }) =>
      expiresAt > Date.now() + EXPIRY_MARGIN_MS && !lineage.some(([one]) => except.has(one)),
  );
  return await differences(world.points, credentials, truth);
}

export async function differences(
  points: readonly Pick<Point, 'name' | 'check'>[],
  credentials: readonly Pick<Credential, 'id' | 'token' | 'lineage'>[],
  truth: Truth,
): Promise<string[]> {
  const found: string[] = [];
  for (const point of points)
    for (const credential of credentials)
      found.push(...(await difference(point, credential, truth)));
  return found;
}

async function difference(
  point: Pick<Point, 'name' | 'check'>,
  credential: Pick<Credential, 'id' | 'token' | 'lineage'>,
  truth: Truth,
): Promise<string[]> {
  const isDead = truth.isDead(credential.lineage);
  const decided = await point.check(credential.token);
  const refused = !decided.allowed && /revoked|suspended/.test(decided.code ?? '');
  if (isDead ? refused : decided.allowed) return [];
  return [
    `${point.name} says ${decided.code ?? 'allow'} of ${credential.id}, which is ${isDead ? 'dead' : 'alive'}`,
  ];
}

/** I2, I6, I10 and I11, from the database alone. */
export async function askDatabase(
  database: Queryable,
  tenant: string,
  acknowledged: readonly Acknowledged[],
): Promise<string[]> {
  const violations: string[] = [];
  const late = await database.query<{ credential: string; order_id: string }>(
    // Credentials are written once and never again, so their xmin is the transaction that issued them.
    `SELECT c.id AS credential, e.order_id
     FROM stream_entry e
     CROSS JOIN LATERAL (SELECT e.payload::jsonb->'op' AS op) parsed
     JOIN agent a ON a.tenant = e.tenant
     JOIN credential c ON c.tenant = a.tenant AND c.agent_id = a.id
     CROSS JOIN LATERAL unnest(a.lin_subjects || c.own_subjects, a.lin_generations || c.own_generations)
       AS pair(subject, generation)
     WHERE e.tenant = $1 AND op->>'op' = 'floor' AND pair.subject = op->>'subject'
       AND pair.generation < (op->>'generation')::bigint
       AND pg_xact_commit_timestamp(c.xmin) > pg_xact_commit_timestamp(e.xmin)`,
    [tenant],
  );
  for (const { credential, order_id: order } of late)
    violations.push(`I2: ${credential} was issued after ${order} had been committed`);

  const [gaps] = await database.query<{ missing: string; head: string }>(
    `SELECT h.seq - count(e.seq) AS missing, h.seq AS head FROM stream_head h
     LEFT JOIN stream_entry e ON e.tenant = h.tenant AND e.epoch = h.epoch AND e.seq BETWEEN 1 AND h.seq
     WHERE h.tenant = $1 GROUP BY h.seq`,
    [tenant],
  );
  if (Number(gaps?.missing) !== 0)
    violations.push(`I6: of ${gaps?.head} entries ${gaps?.missing} are missing`);

  const keys = await database.query<{ key: string; order_id: string }>(
    `SELECT key, order_id FROM idempotency_key WHERE tenant = $1`,
    [tenant],
  );
  const ofKey = new Map(keys.map(({ key, order_id: order }) => [key, order]));
  // An attempt whose answer was lost had committed the order, and a later one was taken while the database was away.
  const merged = await database.query<{ id: string; stands: string }>(
    `SELECT kill_id AS id, refusal->>'replay' AS stands FROM emergency
     WHERE tenant = $1 AND state = 'merged'`,
    [tenant],
  );
  const standsAs = new Map(merged.map(({ id, stands }) => [id, stands]));
  const { orders } = await readTruth(database, tenant);
  for (const { id: answered, idempotencyKey } of acknowledged) {
    const id = standsAs.get(answered) ?? answered;
    if (!orders.has(id)) violations.push(`I10: ${answered} was acknowledged and is lost`);
    if (ofKey.get(idempotencyKey) !== id)
      violations.push(
        `I11: ${answered} was ordered under a key that names ${ofKey.get(idempotencyKey)}`,
      );
  }
  return violations;
}
