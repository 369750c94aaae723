import { newId, type Lineage } from '@sever/protocol';
import { Pool } from 'pg';

export interface Born {
  agentId: string;
  credentialId: string;
  lineage: Lineage;
}

export interface Refused {
  problem: string;
  [detail: string]: unknown;
}

export interface SpawnOptions {
  labels?: Record<string, string>;
  /** Of a root; by default the tenant's own. */
  service?: string;
  initiator?: string;
  /** Opens a task with the birth. */
  task?: boolean;
  maxChildren?: number;
  ttlSeconds?: number;
}

/** One tenant that speaks to the database's own functions, without a server in between. */
export class SqlTenant {
  private constructor(
    readonly pool: Pool,
    readonly id: string,
    readonly service: string,
    readonly initiator: string,
  ) {}

  static async create(databaseUrl: string, connections = 8): Promise<SqlTenant> {
    const pool = new Pool({
      connectionString: databaseUrl,
      max: connections,
      options: '-c role=sever_app',
    });
    // The end of a test drops the database under idle connections.
    pool.on('error', () => undefined);
    return SqlTenant.on(pool);
  }

  /** Another tenant over the same connections. */
  sibling(): Promise<SqlTenant> {
    return SqlTenant.on(this.pool);
  }

  private static async on(pool: Pool): Promise<SqlTenant> {
    const id = newId('tenant');
    await asSystem(pool, [
      [`INSERT INTO tenant (id, name) VALUES ($1, $1)`, [id]],
      [`INSERT INTO stream_head (tenant) VALUES ($1)`, [id]],
    ]);
    const { service, initiator } = await newcomers(pool, id);
    return new SqlTenant(pool, id, service, initiator);
  }

  /** A service and a human that nobody else uses. */
  newcomers(): Promise<{ service: string; initiator: string }> {
    return newcomers(this.pool, this.id);
  }

  async root(options: SpawnOptions = {}): Promise<Born> {
    return this.alive(await this.spawn(null, options));
  }

  async child(parent: Born, options: SpawnOptions = {}): Promise<Born> {
    return this.alive(await this.spawn(parent, options));
  }

  /** A spawn that may be refused. */
  async spawn(parent: Born | null, options: SpawnOptions = {}): Promise<Born | Refused> {
    const labels = options.labels ?? {};
    const task = options.task === true ? newId('task') : null;
    const answer = await this.call('sever_spawn', {
      tenant: this.id,
      id: newId('agent'),
      name: 'an agent',
      parent_id: parent?.agentId ?? null,
      service_id: parent ? null : (options.service ?? this.service),
      initiator_id: parent ? null : (options.initiator ?? this.initiator),
      caller_subjects: parent?.lineage.map(([subject]) => subject) ?? [],
      caller_generations: parent?.lineage.map(([, generation]) => generation) ?? [],
      derived_from: parent?.credentialId ?? null,
      task_id: task,
      task_name: task && 'a task',
      fresh_subjects: [
        ...(task === null ? [] : [`task:${task}`]),
        ...Object.entries(labels).map(([key, value]) => `label:${key}:${value}`),
      ],
      scopes: [],
      labels,
      refs: {},
      ttl_seconds: options.ttlSeconds ?? null,
      max_depth: 64,
      max_children: options.maxChildren ?? 1_000,
      grant_id: newId('grant'),
      credential_id: newId('credential'),
      audience: 'sever',
      audit_id: newId('audit'),
      actor: {},
    });
    return 'problem' in answer ? (answer as Refused) : born(answer);
  }

  /** @param by whose token asks; `null`: the service that started the tree */
  async mint(
    agent: Born,
    by: Born | null = agent,
    service = this.service,
  ): Promise<Born | Refused> {
    const family = by?.lineage.find(([subject]) => subject.startsWith('family:'));
    const answer = await this.call('sever_mint', {
      tenant: this.id,
      agent_id: agent.agentId,
      service_id: by ? null : service,
      caller_subjects: by?.lineage.map(([subject]) => subject) ?? [],
      caller_generations: by?.lineage.map(([, generation]) => generation) ?? [],
      family_id: family?.[0].slice('family:'.length) ?? null,
      family_generation: family?.[1] ?? null,
      derived_from: by?.credentialId ?? null,
      credential_id: newId('credential'),
      audit_id: newId('audit'),
      scopes: [],
      audience: 'sever',
      use: null,
      ttl_seconds: 900,
      actor: {},
    });
    return 'problem' in answer ? (answer as Refused) : born(answer);
  }

  async kill(
    subject: { kind: string; id: string },
    more: object = {},
  ): Promise<Record<string, unknown>> {
    return this.order({ action: 'kill', subjects: [subject], ...more });
  }

  async order(order: object): Promise<Record<string, unknown>> {
    const [outcome] = await this.orders([order]);
    return outcome as Record<string, unknown>;
  }

  async orders(orders: object[]): Promise<Record<string, unknown>[]> {
    const { rows } = await this.pool.query<{ answer: Record<string, unknown>[] }>(
      'SELECT sever_revoke($1, $2) AS answer',
      [
        this.id,
        JSON.stringify(
          orders.map((order) => ({
            id: newId('kill'),
            only: false,
            reason: 'a test',
            ticket: null,
            actor: { id: 'x', name: 'x', kind: 'operator' },
            caller: { kind: 'operator' },
            idempotency: null,
            audit_id: newId('audit'),
            ...order,
          })),
        ),
      ],
    );
    return rows[0]?.answer as Record<string, unknown>[];
  }

  /** `expiry`: as the control plane does it when the time is over. */
  async lift(order: string, more: { expiry?: boolean } = {}): Promise<Record<string, unknown>> {
    const asked = { id: order, own_only: false, ...more };
    return this.undo('sever_lift', asked);
  }

  /** By somebody who has ordered nothing. */
  async reinstate(
    subject: { kind: string; id: string },
    kills: readonly string[],
  ): Promise<Record<string, unknown>> {
    const asked = { kind: subject.kind, subject_id: subject.id, kill_ids: kills };
    return this.undo('sever_reinstate', asked);
  }

  /** Why a lineage is dead by the database; `null` while it lives. */
  async denial(
    lineage: Lineage,
  ): Promise<{ subject: string; order_id: string; action: string } | null> {
    return this.read(`SELECT * FROM sever_denial($1, $2::text[], $3::bigint[])`, [
      this.id,
      lineage.map(([subject]) => subject),
      lineage.map(([, generation]) => generation),
    ]).then(([row]) => (row as { subject: string; order_id: string; action: string }) ?? null);
  }

  /** Reads with the rights of the server's own role, for this tenant. */
  async read(sql: string, parameters: unknown[]): Promise<Record<string, unknown>[]> {
    const client = await this.pool.connect();
    try {
      await client.query('BEGIN');
      await client.query(`SELECT set_config('app.tenant', $1, true)`, [this.id]);
      const { rows } = await client.query<Record<string, unknown>>(sql, parameters);
      await client.query('COMMIT');
      return rows;
    } finally {
      client.release();
    }
  }

  close(): Promise<void> {
    return this.pool.end();
  }

  private async undo(name: string, asked: object): Promise<Record<string, unknown>> {
    const actor = { id: 'y', name: 'y', kind: 'lead' };
    const { rows } = await this.pool.query<{ answer: Record<string, unknown> }>(
      `SELECT ${name}($1, $2) AS answer`,
      [this.id, JSON.stringify({ ...asked, reason: 'a test', actor, audit_id: newId('audit') })],
    );
    return (rows[0] as { answer: Record<string, unknown> }).answer;
  }

  private async call(name: string, parameters: object): Promise<object> {
    const { rows } = await this.pool.query<{ answer: object }>(`SELECT ${name}($1) AS answer`, [
      JSON.stringify(parameters),
    ]);
    return (rows[0] as { answer: object }).answer;
  }

  private alive(answer: Born | Refused): Born {
    if ('problem' in answer) throw new Error(`refused: ${JSON.stringify(answer)}`);
    return answer;
  }
}

async function newcomers(
  pool: Pool,
  tenant: string,
): Promise<{ service: string; initiator: string }> {
  const [service, initiator] = [newId('principal'), newId('initiator')];
  await asSystem(pool, [
    [
      `INSERT INTO principal (tenant, id, role, name) VALUES ($1, $2, 'service', 's')`,
      [tenant, service],
    ],
    [`INSERT INTO initiator (tenant, id, subject) VALUES ($1, $2, $2)`, [tenant, initiator]],
  ]);
  return { service, initiator };
}

async function asSystem(pool: Pool, statements: [string, string[]][]): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query('BEGIN; SET LOCAL ROLE sever_system');
    for (const [sql, parameters] of statements) await client.query(sql, parameters);
    await client.query('COMMIT');
    client.release();
  } catch (error) {
    client.release(true);
    throw error;
  }
}

interface IssuedRow {
  id: string;
  agent_id: string;
  subjects: string[];
  generations: number[];
}

function born(answer: object): Born {
  const { credential } = answer as { credential: IssuedRow };
  return {
    agentId: credential.agent_id,
    credentialId: credential.id,
    lineage: credential.subjects.map((subject, at) => [
      subject,
      credential.generations[at] as number,
    ]),
  };
}
