import type { Client } from 'pg';

/** Most children below one agent, as the control plane allows. */
const FAN_OUT = 1_000;

export interface SeededTree {
  /** Agents below and including the lowest of `spine`. */
  readonly size: number;
  /**
   * A line of ancestors, the root first and the top of the tree last. Killed from the last to the first, each kill is that of a
   * living agent with (nearly) the whole tree below it.
   */
  readonly spine: readonly string[];
}

const INSERT_AGENTS = `
  INSERT INTO agent (tenant, id, name, parent_id, root_id, depth, service_id, initiator_id, lin_subjects, lin_generations,
                     scopes, base_grant_id, labels, refs, max_depth, max_children, created_at, expires_at)
  SELECT t.tenant, s.id, 'seeded', s.parent, s.root, s.depth, t.service_id, t.initiator_id,
         t.lin_subjects || s.path, t.lin_generations || array_fill(1::bigint, ARRAY[cardinality(s.path)]),
         '{}', 'grt' || substr(s.id, 4), '{}', '{}', 64, ${FAN_OUT}, now(), now() + interval '1 day'
  FROM seeding s, (SELECT * FROM agent WHERE tenant = $1 AND id = $2) t`;
const INSERT_QUOTAS = `
  INSERT INTO agent_quota (tenant, agent_id, children)
  SELECT $1, s.id, (SELECT count(*) FROM seeding c WHERE c.parent = s.id) FROM seeding s`;
const INSERT_GRANTS = `
  INSERT INTO scope_grant (tenant, id, agent_id, scopes, base, created_at, expires_at)
  SELECT $1, 'grt' || substr(s.id, 4), s.id, '{}', true, now(), now() + interval '1 day' FROM seeding s`;

/**
 * Puts a tree into the database as spawns would have left it, in a few statements: a line of ancestors, below them up to a
 * thousand agents, below those the rest.
 *
 * @param like an agent at the root of a tree that was really spawned; what it carries, the seeded ones carry
 * @param mark two characters of [0-9a-f], another for each tree
 */
export async function seedTree(
  database: Client,
  like: { readonly tenant: string; readonly id: string },
  { mark, size, spine }: { mark: string; size: number; spine: number },
): Promise<SeededTree> {
  const line = Array.from({ length: spine }, (_, at) => seededId(mark, at));
  const middle = Math.min(FAN_OUT, size - 1);
  await database.query('DROP TABLE IF EXISTS seeding');
  await database.query(
    'CREATE TEMPORARY TABLE seeding (id text, parent text, root text, depth int, path text[])',
  );
  await insertRows(database, line, mark, middle, size);
  await database.query('CREATE INDEX ON seeding (parent)');
  await database.query('ANALYZE seeding');
  await insertSeeding(database, like);
  return { size, spine: line };
}

async function insertSeeding(
  database: Client,
  like: { readonly tenant: string; readonly id: string },
): Promise<void> {
  // Millions of look-ups of what this statement itself inserts would say nothing.
  await database.query('SET session_replication_role = replica');
  await database.query(INSERT_AGENTS, [like.tenant, like.id]);
  await database.query(INSERT_QUOTAS, [like.tenant]);
  await database.query(INSERT_GRANTS, [like.tenant]);
  await database.query('SET session_replication_role = origin');
}

async function insertRows(
  database: Client,
  line: readonly string[],
  mark: string,
  middle: number,
  size: number,
): Promise<void> {
  const root = line[0] ?? '';
  const paths = (length: number): string[] => line.slice(0, length).map((id) => `agent:${id}`);
  for (const [at, id] of line.entries())
    await database.query('INSERT INTO seeding VALUES ($1, $2, $3, $4, $5)', [
      ...[id, at === 0 ? null : line[at - 1], root, at, paths(at)],
    ]);
  const id = (n: string): string => `'agt_0${mark}' || lpad(to_hex(${n}), 23, '0')`;
  const first = line.length;
  await database.query(
    `INSERT INTO seeding SELECT ${id('n')}, $1, $2, $3::int, $4 FROM generate_series($5::int, $6::int) n`,
    [line.at(-1), root, first, paths(first), first, first + middle - 1],
  );
  await database.query(
    `INSERT INTO seeding
     SELECT ${id('n')}, ${id(`$4::int + n % ${FAN_OUT}`)}, $1, $2::int, $3::text[] || ('agent:' || ${id(`$4::int + n % ${FAN_OUT}`)})
     FROM generate_series($5::int, $6::int) n`,
    [root, first + 1, paths(first), first, first + middle, first + size - 2],
  );
}

function seededId(mark: string, n: number): string {
  return `agt_0${mark}${n.toString(16).padStart(23, '0')}`;
}

/** So many roots, each a tree of its own, like the given one. */
export async function seedRoots(
  database: Client,
  like: string,
  run: number,
  count: number,
): Promise<string[]> {
  const mark = (0x80 + run).toString(16);
  const { rows } = await database.query<{ tenant: string }>(
    'SELECT tenant FROM agent WHERE id = $1',
    [like],
  );
  const ids = Array.from({ length: count }, (_, at) => seededId(mark, at));
  await database.query('DROP TABLE IF EXISTS seeding');
  await database.query(
    `CREATE TEMPORARY TABLE seeding AS
     SELECT id, NULL::text AS parent, id AS root, 0 AS depth, '{}'::text[] AS path FROM unnest($1::text[]) id`,
    [ids],
  );
  await insertSeeding(database, { id: like, tenant: rows[0]?.tenant ?? '' });
  return ids;
}
