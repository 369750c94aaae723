import { Client } from 'pg';

/** A protection of the database that a negative control takes away: a phrase of a function, and what stands there then. */
export interface Removed {
  readonly name: string;
  readonly phrase: string;
  readonly by?: string;
}

/** The fence does nothing any more, for anybody. */
export async function removeFence(databaseUrl: string): Promise<void> {
  await run(
    databaseUrl,
    ['shared', 'exclusive'].map(
      (mode) =>
        `CREATE OR REPLACE FUNCTION sever_fence_${mode}(p_tenant text, p_subjects text[]) RETURNS void
         LANGUAGE sql VOLATILE AS $$ SELECT $$`,
    ),
  );
}

/** @throws Error when the function does not have the phrase: the control would then show nothing */
export async function removePhrase(
  databaseUrl: string,
  { name, phrase, by = '' }: Removed,
): Promise<void> {
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ text: string }>(
      `SELECT pg_get_functiondef(oid) AS text FROM pg_proc WHERE proname = $1`,
      [name],
    );
    const text = rows[0]?.text ?? '';
    if (!text.includes(phrase)) throw new Error(`${name} has no "${phrase}" to be removed`);
    await client.query(text.replaceAll(phrase, by));
  } finally {
    await client.end();
  }
}

/** Widens the window between check and commit beyond what luck makes it: whoever writes an audit record dawdles. */
export async function dawdle(databaseUrl: string, ms = 3): Promise<void> {
  await run(databaseUrl, [
    `CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
     $$ BEGIN PERFORM pg_sleep(${ms / 1_000}); RETURN NEW; END $$`,
    `CREATE TRIGGER dawdle AFTER INSERT ON audit_record FOR EACH ROW EXECUTE FUNCTION dawdle()`,
  ]);
}

async function run(databaseUrl: string, statements: readonly string[]): Promise<void> {
  const client = new Client({ connectionString: databaseUrl });
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}
