import { Injectable } from '@nestjs/common';
import { newId, ProblemError, type AgentQuery } from '@sever/protocol';
import type { CredentialRow } from '../credentials/token-issuer';
import { Conditions } from '../database/conditions';
import { UnitOfWork } from '../database/unit-of-work';
import type { SqlRefusal } from '../lineage/refusal';
import type { AgentRow } from './agent-view';

export interface InitiatorRow {
  initiator_id: string;
  initiator_subject: string;
  initiator_issuer: string;
}

/** Columns of a parent that never change; they may be read before the fence. */
export interface ParentRow extends InitiatorRow {
  scopes: string[];
  labels: Record<string, string>;
  depth: number;
  max_depth: number;
}

/** Which agents a caller may see: all of the tenant, the trees of one service, or one agent and what is below it. */
export type Sight = { all: true } | { service: string } | { below: string };

type SpawnedRow = Omit<
  AgentRow,
  'initiator_subject' | 'initiator_issuer' | 'completed' | 'expired' | 'denial'
>;
export type SpawnAnswer = SqlRefusal | { agent: SpawnedRow; credential: CredentialRow };

const COLUMNS = `
  a.id, a.name, a.parent_id, a.root_id, a.depth, a.service_id, a.initiator_id, i.subject AS initiator_subject,
  i.issuer AS initiator_issuer, a.task_id, a.scopes, a.labels, a.refs, a.created_at, a.expires_at,
  a.completed_at IS NOT NULL AS completed, a.expires_at <= now() AS expired, to_jsonb(d) AS denial`;
const FROM = `
  FROM agent a
  JOIN initiator i ON i.tenant = a.tenant AND i.id = a.initiator_id
  LEFT JOIN LATERAL sever_agent_denial(a.tenant, a.id, a.lin_subjects, a.lin_generations) d ON true`;

/** Standing suspensions are few, and found by their subject. */
const SUSPENDED = `EXISTS (
  SELECT FROM suspension u WHERE u.tenant = a.tenant AND u.lifted_at IS NULL
    AND (u.subject = 'agent:' || a.id OR u.subject = ANY (a.lin_subjects)))`;

@Injectable()
export class AgentStore {
  constructor(private readonly work: UnitOfWork) {}

  /** Committed by itself, before the fence; whoever comes second finds the first one's row. */
  async upsertInitiator(
    tenant: string,
    { subject, issuer = '' }: { subject: string; issuer?: string | undefined },
  ): Promise<InitiatorRow> {
    const find = (): Promise<InitiatorRow[]> =>
      this.work.query<InitiatorRow>(
        tenant,
        `SELECT id AS initiator_id, subject AS initiator_subject, issuer AS initiator_issuer
         FROM initiator WHERE tenant = $1 AND issuer = $2 AND subject = $3`,
        [tenant, issuer, subject],
      );
    const [known] = await find();
    if (known) return known;
    await this.work.query(
      tenant,
      `INSERT INTO initiator (tenant, id, issuer, subject) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
      [tenant, newId('initiator'), issuer, subject],
    );
    return (await find())[0] as InitiatorRow;
  }

  async parent(tenant: string, id: string): Promise<ParentRow | undefined> {
    const [row] = await this.work.query<ParentRow>(
      tenant,
      `SELECT a.scopes, a.labels, a.depth, a.max_depth, a.initiator_id, i.subject AS initiator_subject,
              i.issuer AS initiator_issuer
       FROM agent a JOIN initiator i ON i.tenant = a.tenant AND i.id = a.initiator_id
       WHERE a.tenant = $1 AND a.id = $2`,
      [tenant, id],
    );
    return row;
  }

  /** `sever_spawn`: fence, check, insert, in one call. */
  async spawn(parameters: object): Promise<SpawnAnswer> {
    const [row] = await this.work.call<{ answer: SpawnAnswer }>(
      `SELECT sever_spawn($1) AS answer`,
      [JSON.stringify(parameters)],
    );
    return (row as { answer: SpawnAnswer }).answer;
  }

  async task(
    tenant: string,
    id: string,
  ): Promise<{ id: string; name: string; completed_at: string }> {
    const [row] = await this.work.query<{ id: string; name: string; completed_at: Date }>(
      tenant,
      `SELECT id, name, completed_at FROM task WHERE tenant = $1 AND id = $2`,
      [tenant, id],
    );
    if (!row) throw new ProblemError('not_found', `There is no task ${id}.`);
    return { ...row, completed_at: row.completed_at.toISOString() };
  }

  async find(tenant: string, id: string, sight: Sight): Promise<AgentRow | undefined> {
    const where = new AgentConditions([tenant]);
    where.add('a.id = ?', id);
    where.see(sight);
    const [row] = await this.select(tenant, where, 'LIMIT 1');
    return row;
  }

  async list(
    tenant: string,
    query: AgentQuery,
    sight: Sight,
    after: string | undefined,
  ): Promise<AgentRow[]> {
    const where = new AgentConditions([tenant]);
    where.see(sight);
    if (after !== undefined) where.add('a.id > ?', after);
    if (query.root !== undefined) where.add('a.root_id = ?', query.root);
    if (query.task !== undefined) where.add('a.task_id = ?', query.task);
    if (query.initiator !== undefined)
      where.add('(i.id = ? OR i.subject = ?)', query.initiator, query.initiator);
    if (query.label !== undefined) where.add('a.labels @> ?', pair(query.label));
    if (query.ref !== undefined) where.add('a.refs @> ?', pair(query.ref));
    if (query.q !== undefined) {
      const like = `%${query.q.replaceAll(/[\\%_]/g, '\\$&')}%`;
      where.add(
        '(a.id = ? OR a.name ILIKE ? OR i.subject ILIKE ? OR a.labels::text ILIKE ? OR a.refs::text ILIKE ?)',
        query.q,
        like,
        like,
        like,
        like,
      );
    }
    // Filters read the enumerated state (counting derived states over a large tenant takes seconds); items do not.
    if (query.state === 'expired') where.add(`a.listed_state = 'active' AND a.expires_at <= now()`);
    else if (query.state === 'active')
      where.add(`a.listed_state = 'active' AND a.expires_at > now() AND NOT ${SUSPENDED}`);
    else if (query.state === 'suspended')
      where.add(`a.listed_state = 'active' AND a.expires_at > now() AND ${SUSPENDED}`);
    else if (query.state !== undefined) where.add('a.listed_state = ?', query.state);
    return this.select(tenant, where, `ORDER BY a.id LIMIT ${query.limit + 1}`);
  }

  /** Depth first. The path of an agent is its lineage, so the order needs no recursion beyond parent_id. */
  async tree(tenant: string, id: string, limit: number, offset: number): Promise<AgentRow[]> {
    return this.work.query(
      tenant,
      `WITH RECURSIVE below(id, path) AS (
           SELECT id, ARRAY[id] FROM agent WHERE tenant = $1 AND id = $2
           UNION
           SELECT a.id, b.path || a.id FROM below b JOIN agent a ON a.tenant = $1 AND a.parent_id = b.id
         ), page AS (SELECT id, path FROM below ORDER BY path LIMIT $3 OFFSET $4)
         SELECT ${COLUMNS} ${FROM} JOIN page ON page.id = a.id WHERE a.tenant = $1 ORDER BY page.path`,
      [tenant, id, limit, offset],
    );
  }

  private async select(tenant: string, where: Conditions, tail: string): Promise<AgentRow[]> {
    return this.work.query(
      tenant,
      `SELECT ${COLUMNS} ${FROM} WHERE a.tenant = $1 ${where.sql} ${tail}`,
      where.parameters,
    );
  }
}

class AgentConditions extends Conditions {
  see(sight: Sight): void {
    if ('service' in sight) this.add('a.service_id = ?', sight.service);
    else if ('below' in sight)
      this.add('(a.id = ? OR ? = ANY (a.lin_subjects))', sight.below, `agent:${sight.below}`);
  }
}

function pair(text: string): Record<string, string> {
  const colon = text.indexOf(':');
  return { [text.slice(0, colon)]: text.slice(colon + 1) };
}
