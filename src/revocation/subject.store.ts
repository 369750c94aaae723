import { Injectable } from '@nestjs/common';
import { newId, type SubjectRef } from '@sever/protocol';
import { KillPool } from '../database/kill-pool';
import { within } from '../database/reach';
import { UnitOfWork } from '../database/unit-of-work';

export interface KnownInitiator {
  id: string;
  subject: string;
  /** Empty: the identity that no issuer vouches for. */
  issuer: string;
}

/** As many of anything are counted or offered at most; an order waits for nothing longer. */
export const COUNTED = 1_000;
const CANDIDATES = 2_000;
const CALLS_WITHIN_MS = 300;

/** Looks up what an order may name otherwise than by id. Reads over the connections of kills. */
@Injectable()
export class SubjectStore {
  constructor(
    private readonly pool: KillPool,
    private readonly work: UnitOfWork,
  ) {}

  async initiators(tenant: string, subject: string, issuer?: string): Promise<KnownInitiator[]> {
    return this.pool.read(
      `SELECT id, subject, issuer FROM initiator
       WHERE tenant = $1 AND subject = $2 AND ($3::text IS NULL OR issuer = $3) ORDER BY issuer LIMIT ${COUNTED}`,
      [tenant, subject, issuer ?? null],
    );
  }

  /** One that has never been seen can be killed in advance: its row is what the kill stands on. */
  async createInitiator(tenant: string, subject: string, issuer: string): Promise<string> {
    await this.work.query(
      tenant,
      `INSERT INTO initiator (tenant, id, issuer, subject) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
      [tenant, newId('initiator'), issuer, subject],
    );
    const [row] = await this.initiators(tenant, subject, issuer);
    return (row as KnownInitiator).id;
  }

  /** Agents that carry the pair, without those below another one of them: a kill of the upper one covers both. */
  async topsWithRef(tenant: string, key: string, value: string): Promise<string[]> {
    return this.ids(
      `SELECT a.id FROM agent a LEFT JOIN agent p ON p.tenant = $1 AND p.id = a.parent_id
       WHERE a.tenant = $1 AND a.refs @> $2 AND NOT coalesce(p.refs @> $2, false) ORDER BY a.id LIMIT ${COUNTED + 1}`,
      [tenant, JSON.stringify({ [key]: value })],
    );
  }

  /** Agents that were spawned within the trace (W3C `trace-id`). */
  async topsInTrace(tenant: string, trace: string): Promise<string[]> {
    return this.ids(
      `SELECT a.id FROM agent a LEFT JOIN agent p ON p.tenant = $1 AND p.id = a.parent_id
       WHERE a.tenant = $1 AND a.trace_id = $2 AND p.trace_id IS DISTINCT FROM $2 ORDER BY a.id LIMIT ${COUNTED + 1}`,
      [tenant, trace],
    );
  }

  /**
   * Agents that have made calls within the trace, each with its ancestors. The records are nothing that a kill may wait for:
   * they are read over other connections than those of kills, for a bounded time, and are none when that fails.
   */
  async callersInTrace(tenant: string, trace: string): Promise<{ id: string; chain: string[] }[]> {
    const found = this.work.query<{ id: string; chain: string[] }>(
      tenant,
      `SELECT agent_id AS id, chain FROM call_record WHERE tenant = $1 AND trace_id = $2
       GROUP BY agent_id, chain ORDER BY agent_id LIMIT ${COUNTED + 1}`,
      [tenant, trace],
    );
    return within(CALLS_WITHIN_MS, found).catch(() => []);
  }

  /** How many agents a subject touches that need not be known, up to `COUNTED`. */
  async matched(tenant: string, { kind, id }: SubjectRef): Promise<number> {
    const [condition, value] = matchOf(kind, id);
    const [row] = await this.pool.read<{ n: number }>(
      `SELECT count(*)::int AS n FROM (SELECT 1 FROM agent a WHERE a.tenant = $1 AND ${condition} LIMIT ${COUNTED}) found`,
      [tenant, value],
    );
    return row?.n ?? 0;
  }

  /** Names that are known, of the kind; the newest ones. */
  async names(tenant: string, kind: string): Promise<string[]> {
    const rows = await this.pool.read<{ name: string }>(NAMES[kind] ?? 'SELECT $1 WHERE false', [
      tenant,
    ]);
    return rows.map(({ name }) => name);
  }

  private async ids(sql: string, parameters: unknown[]): Promise<string[]> {
    return (await this.pool.read<{ id: string }>(sql, parameters)).map(({ id }) => id);
  }
}

/** A condition with one parameter, $2. */
function matchOf(kind: string, id: string): [string, unknown] {
  switch (kind) {
    case 'initiator':
      return ['a.initiator_id = $2', id];
    case 'label': {
      const colon = id.indexOf(':');
      return ['a.labels @> $2', JSON.stringify({ [id.slice(0, colon)]: id.slice(colon + 1) })];
    }
    case 'tool':
      return [
        `EXISTS (SELECT FROM unnest(a.scopes) s WHERE s = $2 OR (right(s, 1) = '*' AND starts_with($2, left(s, -1))))`,
        `tool:${id}`,
      ];
    default:
      return [
        `EXISTS (SELECT FROM unnest(a.scopes) s WHERE starts_with(s, 'tool:' || $2 || '/')
           OR s LIKE 'http:%:' || $2 || '/%' OR s = 'tool:*')`,
        id,
      ];
  }
}

const SCOPES = `
  SELECT DISTINCT scope FROM (
    SELECT unnest(scopes) AS scope FROM (SELECT scopes FROM agent WHERE tenant = $1 ORDER BY id DESC LIMIT ${CANDIDATES}) recent
  ) s WHERE scope LIKE 'tool:%/%'`;
const SERVED = `SELECT serves FROM enforcement_point
  WHERE tenant = $1 AND revoked_at IS NULL AND serves IS NOT NULL ORDER BY id DESC LIMIT 100`;

const NAMES: Readonly<Record<string, string>> = {
  initiator: `SELECT subject AS name FROM initiator WHERE tenant = $1 ORDER BY id DESC LIMIT ${CANDIDATES}`,
  label: `SELECT DISTINCT pair.key || ':' || pair.value AS name FROM (
      SELECT labels FROM agent WHERE tenant = $1 AND labels <> '{}' ORDER BY id DESC LIMIT ${CANDIDATES}
    ) recent, jsonb_each_text(recent.labels) pair`,
  // What agents hold, and what enforcement points say that they stand before.
  tool: `SELECT substr(scope, 6) AS name FROM (${SCOPES}) s WHERE right(scope, 1) <> '*'
    UNION SELECT tool FROM (${SERVED}) e, jsonb_array_elements_text(e.serves->'tools') tool`,
  upstream: `SELECT split_part(substr(scope, 6), '/', 1) AS name FROM (${SCOPES}) s
    UNION SELECT upstream->>'name' FROM (${SERVED}) e, jsonb_array_elements(e.serves->'upstreams') upstream`,
};
