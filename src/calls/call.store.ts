import { Injectable } from '@nestjs/common';
import type { CallQuery, CallRecord } from '@sever/protocol';
import { Conditions } from '../database/conditions';
import { UnitOfWork } from '../database/unit-of-work';
import type { CallRow } from './call-view';
import { dayOf } from './call-days';

export interface CallPlace {
  /** Milliseconds since the Unix epoch. */
  readonly startedMs: number;
  readonly id: string;
}

/** Columns in the order of the insert; each is read from the member of the same name. */
const MEMBERS = {
  ...{ id: 'text', duration_ms: 'double precision', agent_id: 'text', chain: 'text[]' },
  ...{ initiator_id: 'text', service_id: 'text', task_ids: 'text[]', credential_id: 'text' },
  ...{ remote_address: 'text', user_agent: 'text' },
  ...{ upstream: 'text', tool: 'text', method: 'text', path: 'text', decision: 'text' },
  ...{ code: 'text', stale: 'boolean', outcome: 'text', kill_id: 'text', bytes_in: 'bigint' },
  ...{ bytes_out: 'bigint', status: 'integer', trace_id: 'text', span_id: 'text' },
  ...{ arguments_hash: 'text', arguments: 'text' },
} as const;
const NAMES = Object.keys(MEMBERS);
const INSERT = `
  WITH new AS (
    INSERT INTO call_record (tenant, enforcement_point_id, day, started_at, ${NAMES.join(', ')})
    SELECT $1, $2, date '1970-01-01' + r.day, to_timestamp(r.started_ms / 1000.0), ${NAMES.map((name) => `r.${name}`).join(', ')}
    FROM jsonb_to_recordset($3::jsonb) AS r(day integer, started_ms bigint,
      ${Object.entries(MEMBERS)
        .map(([name, type]) => `${name} ${type}`)
        .join(', ')})
    ON CONFLICT DO NOTHING RETURNING 1
  ) SELECT count(*)::int AS stored FROM new`;

/** Names are joined to the rows of one page only, whatever the search had to look through. */
const PAGE = (where: string): string => `
  WITH page AS (
    SELECT * FROM call_record c WHERE c.tenant = $1 ${where} ORDER BY c.started_at DESC, c.id DESC LIMIT $2
  )
  SELECT p.*, (extract(epoch FROM p.started_at) * 1000)::float8 AS started_ms, i.subject AS initiator_subject,
    i.issuer AS initiator_issuer, e.name AS enforcement_point_name,
    (SELECT jsonb_agg(jsonb_build_object('id', x.id, 'name', a.name) ORDER BY x.n)
     FROM unnest(p.chain) WITH ORDINALITY AS x(id, n) LEFT JOIN agent a ON a.tenant = p.tenant AND a.id = x.id) AS agents
  FROM page p
  LEFT JOIN initiator i ON i.tenant = p.tenant AND i.id = p.initiator_id
  LEFT JOIN enforcement_point e ON e.tenant = p.tenant AND e.id = p.enforcement_point_id
  ORDER BY p.started_at DESC, p.id DESC`;

@Injectable()
export class CallStore {
  constructor(private readonly work: UnitOfWork) {}

  /** Their days must exist. @returns how many were not there before */
  async insert(tenant: string, ep: string, records: readonly CallRecord[]): Promise<number> {
    const [row] = await this.work.query<{ stored: number }>(tenant, INSERT, [
      tenant,
      ep,
      JSON.stringify(records.map(rowOf)),
    ]);
    return row?.stored ?? 0;
  }

  /** Newest first, one more than asked for. */
  async list(tenant: string, query: CallQuery, before: CallPlace | undefined): Promise<CallRow[]> {
    const where = new CallConditions([tenant, query.limit + 1]);
    if (query.initiator !== undefined) {
      const ids = await this.initiators(tenant, query.initiator);
      // One id alone lets an index give the newest first.
      if (ids.length === 1) where.add('c.initiator_id = ?', ids[0]);
      else where.add('c.initiator_id = ANY (?)', ids);
    }
    if (query.agent !== undefined) where.add('c.agent_id = ?', query.agent);
    for (const above of [query.under, query.task])
      if (above !== undefined) where.add('(c.chain || c.task_ids) @> ARRAY[?::text]', above);
    for (const name of ['tool', 'upstream', 'trace_id', 'decision', 'kill_id'] as const)
      if (query[name] !== undefined) where.add(`c.${name} = ?`, query[name]);
    if (query.since !== undefined) where.from(query.since);
    if (query.until !== undefined) where.until(query.until);
    if (before !== undefined) where.before(before);
    return this.work.query<CallRow>(tenant, PAGE(where.sql), where.parameters);
  }

  /** By the database's clock, days since the Unix epoch. */
  async today(): Promise<number> {
    const [row] = await this.work.querySystem<{ today: number }>(
      `SELECT (now() AT TIME ZONE 'UTC')::date - date '1970-01-01' AS today`,
    );
    return (row as { today: number }).today;
  }

  async makeDays(first: number, last: number): Promise<void> {
    await this.work.querySystem(
      `SELECT sever_call_days(date '1970-01-01' + $1::int, date '1970-01-01' + $2::int)`,
      [first, last],
    );
  }

  /** @returns how many days went */
  async dropDaysBefore(day: number): Promise<number> {
    const [row] = await this.work.querySystem<{ dropped: number }>(
      `SELECT sever_drop_call_days(date '1970-01-01' + $1::int) AS dropped`,
      [day],
    );
    return row?.dropped ?? 0;
  }

  /** Where the database keeps its data; `null` when it does not tell. */
  async dataDirectory(): Promise<string | null> {
    const [row] = await this.work.querySystem<{ path: string | null }>(
      `SELECT sever_data_directory() AS path`,
    );
    return row?.path ?? null;
  }

  private async initiators(tenant: string, named: string): Promise<string[]> {
    const rows = await this.work.query<{ id: string }>(
      tenant,
      `SELECT id FROM initiator WHERE tenant = $1 AND (id = $2 OR subject = $2)`,
      [tenant, named],
    );
    return rows.map(({ id }) => id);
  }
}

function rowOf(record: CallRecord): object {
  const { started_at: startedMs, initiator, service, tasks, credential, ...rest } = record;
  return {
    ...rest,
    ...{ day: dayOf(startedMs), started_ms: startedMs, agent_id: record.chain.at(-1) },
    ...{ initiator_id: initiator, service_id: service, task_ids: tasks, credential_id: credential },
  };
}

/** Those on time name the day too, so that other days are not looked at. */
class CallConditions extends Conditions {
  from(time: string): void {
    this.add(
      `c.started_at >= ?::timestamptz AND c.day >= (?::timestamptz AT TIME ZONE 'UTC')::date`,
      time,
      time,
    );
  }

  until(time: string): void {
    this.add(
      `c.started_at < ?::timestamptz AND c.day <= (?::timestamptz AT TIME ZONE 'UTC')::date`,
      time,
      time,
    );
  }

  before({ startedMs, id }: CallPlace): void {
    this.add(
      `(c.started_at, c.id) < (to_timestamp(?::bigint / 1000.0), ?) AND c.day <= date '1970-01-01' + ?::int`,
      startedMs,
      id,
      dayOf(startedMs),
    );
  }
}
