import type { EnforcementPoint } from '@sever/enforcement';
import { Pool } from 'pg';
import {
  READ_HEAD,
  READ_STREAM,
  streamFaults,
  type CommittedEntry,
  type Head,
} from '../support/stream-faults';
import { claimsOf } from './token';

/**
 * What must be true of a database whatever happened to whoever wrote it; each query returns what is wrong. Over the
 * rows that say what happened, and not over the functions that made them.
 */
const FAULTS: Record<string, string> = {
  // By parents, not by lineage: another road to the same truth.
  'lives under a killed agent': `
    WITH RECURSIVE below(id) AS (
      SELECT substr(k.subject, 7) FROM standing_kill k WHERE k.subject LIKE 'agent:%' AND k.released_at IS NULL
      UNION
      SELECT a.id FROM below b JOIN agent a ON a.parent_id = b.id
    )
    SELECT a.id FROM below JOIN agent a ON a.id = below.id
    WHERE NOT EXISTS (SELECT FROM sever_agent_denial(a.tenant, a.id, a.lin_subjects, a.lin_generations) d
                      WHERE d.action = 'kill')`,
  'has a credential that lives, and was killed': `
    SELECT c.id FROM credential c JOIN agent a ON a.tenant = c.tenant AND a.id = c.agent_id
    WHERE EXISTS (SELECT FROM standing_kill k WHERE k.released_at IS NULL AND k.subject = ANY (a.lin_subjects || c.own_subjects))
      AND NOT EXISTS (SELECT FROM sever_denial(c.tenant, a.lin_subjects || c.own_subjects, a.lin_generations || c.own_generations))`,
  'is not recorded once as born': `
    SELECT a.id FROM agent a LEFT JOIN audit_record r ON r.action = 'spawn' AND r.record::jsonb->>'agent_id' = a.id
    GROUP BY a.id HAVING count(r.id) <> 1`,
  'is not recorded once as issued': `
    SELECT c.id FROM credential c
    LEFT JOIN audit_record r ON r.action IN ('spawn', 'mint') AND r.record::jsonb->>'credential_id' = c.id
    GROUP BY c.id HAVING count(r.id) <> 1`,
  'is recorded as issued, and is not there': `
    SELECT r.id FROM audit_record r WHERE r.action IN ('spawn', 'mint')
      AND NOT EXISTS (SELECT FROM credential c WHERE c.id = r.record::jsonb->>'credential_id')`,
  'is not recorded once as ordered': `
    SELECT o.id FROM revocation o
    LEFT JOIN audit_record r ON r.action IN ('kill', 'suspend', 'complete') AND r.record::jsonb->>'order_id' = o.id
    GROUP BY o.id HAVING count(r.id) <> 1`,
  'is recorded as ordered, and is not there': `
    SELECT r.id FROM audit_record r WHERE r.action IN ('kill', 'suspend', 'complete', 'escalate', 'lift')
      AND NOT EXISTS (SELECT FROM revocation o WHERE o.id = r.record::jsonb->>'order_id')`,
  'is not recorded as often as it was lifted, escalated, reinstated': `
    SELECT o.id FROM revocation o
    LEFT JOIN audit_record r ON r.record::jsonb->>'order_id' = o.id OR r.record::jsonb->'kill_ids' ? o.id
    GROUP BY o.tenant, o.id
    HAVING count(*) FILTER (WHERE r.action = 'lift') <> (o.lifted IS NOT NULL)::int
        OR count(*) FILTER (WHERE r.action = 'escalate') <> (o.escalated IS NOT NULL)::int
        OR count(*) FILTER (WHERE r.action = 'reinstate') <> (o.reinstated IS NOT NULL)::int`,
  'has no entry at the place that it names': `
    SELECT o.id FROM revocation o WHERE NOT EXISTS (
      SELECT FROM stream_entry e WHERE e.tenant = o.tenant AND e.epoch = o.epoch AND e.seq = o.last_seq AND e.order_id = o.id)`,
  'is an entry that no record stands behind': `
    SELECT e.seq::text AS id FROM stream_entry e WHERE NOT EXISTS (
      SELECT FROM audit_record r WHERE r.tenant = e.tenant AND sever_base64url(r.hash) = e.payload::jsonb->>'audit')`,
};

/** The database, read past the control plane. */
export class Truth {
  private readonly pool: Pool;

  constructor(databaseUrl: string) {
    this.pool = new Pool({ connectionString: databaseUrl, max: 1 });
    // Postgres dies as well; the next look connects anew.
    this.pool.on('error', () => undefined);
  }

  async rows<T extends object>(sql: string, parameters: unknown[] = []): Promise<T[]> {
    const { rows } = await this.pool.query<T>(sql, parameters);
    return rows;
  }

  /** All that is wrong with what is written there. */
  async faults(): Promise<string[]> {
    const found: string[] = [];
    for (const [what, sql] of Object.entries(FAULTS))
      for (const { id } of await this.rows<{ id: string }>(sql)) found.push(`${id} ${what}`);
    for (const { id } of await this.rows<{ id: string }>(`SELECT id FROM tenant`)) {
      const [head] = await this.rows<Head>(READ_HEAD, [id]);
      found.push(...streamFaults(await this.rows<CommittedEntry>(READ_STREAM, [id]), head as Head));
    }
    return found;
  }

  /** As the oracle of races reads it. */
  async tenant(): Promise<{ id: string; read: Truth['rows'] }> {
    const [row] = await this.rows<{ id: string }>(`SELECT id FROM tenant`);
    return { id: row?.id ?? '', read: (sql, parameters) => this.rows(sql, parameters) };
  }

  /** Ids of the orders with this reason. Each trial gives its orders reasons that nobody else uses. */
  async ordersBecause(reason: string): Promise<string[]> {
    const rows = await this.rows<{ id: string }>(
      `SELECT id FROM revocation WHERE reason = $1 ORDER BY id`,
      [reason],
    );
    return rows.map(({ id }) => id);
  }

  /** For each token whether the database calls it dead, beside what an enforcement point decides. */
  async differences(point: EnforcementPoint, tokens: readonly string[]): Promise<string[]> {
    const differences: string[] = [];
    for (const token of tokens) {
      const { lin, exp } = claimsOf(token);
      if (exp * 1_000 < Date.now() + 1_000) continue;
      const [tenant] = lin.find(([subject]) => subject.startsWith('tenant:')) ?? [''];
      const [dead] = await this.rows<{ order_id: string }>(
        `SELECT order_id FROM sever_denial($1, $2::text[], $3::bigint[])`,
        [
          tenant.slice('tenant:'.length),
          lin.map(([subject]) => subject),
          lin.map(([, generation]) => generation),
        ],
      );
      const decision = await point.check(token);
      const said = decision.decision === 'allow' ? 'allow' : decision.code;
      const right = dead === undefined ? said === 'allow' : /^agent_/.test(said);
      if (!right) differences.push(`${said}, and the database says ${dead?.order_id ?? 'alive'}`);
    }
    return differences;
  }

  close(): Promise<void> {
    return this.pool.end();
  }
}
