import { Injectable } from '@nestjs/common';
import type { CascadeMember, KillQuery } from '@sever/protocol';
import { KillPool } from '../database/kill-pool';
import { UnitOfWork } from '../database/unit-of-work';
import type { Resolved } from './order';

export interface RevocationRow {
  id: string;
  action: 'kill' | 'suspend' | 'complete';
  subjects: { kind: string; id: string }[];
  not_found: { kind: string; id: string }[];
  reason: string;
  ticket: string | null;
  created_at: Date;
  created_by: { id: string; name: string; kind: string };
  epoch: string;
  first_seq: string;
  last_seq: string;
  lease_valid_ms: number;
  cascade_state: 'pending' | 'running' | 'done';
  cascade_agents: number | null;
  cascade_credentials: number | null;
  replica: string | null;
  committed_mono_ms: number | null;
  level: string | null;
  in_flight: 'abort' | 'drain';
  expires_at: Date | null;
  hold_until: Date | null;
  resolved: Resolved[] | null;
  matched: number | null;
  nearest: string[] | null;
  warnings: string[];
  refused_since: string;
  lifted: ReleaseColumn | null;
  escalated: ReleaseColumn | null;
  reinstated: ReleaseColumn | null;
}

/** Who undid or sharpened an order, as the database keeps it. */
export interface ReleaseColumn {
  at: string;
  by: { id: string; name: string; kind: string };
  reason: string;
}

const COLUMNS = `id, action, subjects, not_found, reason, ticket, created_at, created_by, epoch, first_seq, last_seq, lease_valid_ms,
  cascade_state, cascade_agents, cascade_credentials, replica, committed_mono_ms, level, in_flight, expires_at, hold_until,
  resolved, matched, nearest, warnings, refused_since, lifted, escalated, reinstated`;

@Injectable()
export class RevocationStore {
  constructor(
    private readonly work: UnitOfWork,
    private readonly kills: KillPool,
  ) {}

  async find(tenant: string, id: string): Promise<RevocationRow | undefined> {
    const [row] = await this.kills.read<RevocationRow>(
      `SELECT ${COLUMNS} FROM revocation WHERE tenant = $1 AND id = $2`,
      [tenant, id],
    );
    return row;
  }

  async several(tenant: string, ids: readonly string[]): Promise<RevocationRow[]> {
    return this.work.query(
      tenant,
      `SELECT ${COLUMNS} FROM revocation WHERE tenant = $1 AND id = ANY ($2::text[])`,
      [tenant, ids],
    );
  }

  /**
   * Roots that the services of the killed agents have started for the same initiators since: somebody's orchestrator brings
   * back what was stopped.
   */
  async cameBack(tenant: string, id: string): Promise<{ agents: number; ids: string[] }> {
    const [row] = await this.kills.read<{ agents: number; ids: string[] | null }>(
      `SELECT count(*)::int AS agents, (array_agg(a.id ORDER BY a.id))[1:10] AS ids
       FROM agent a WHERE a.tenant = $1 AND a.parent_id IS NULL
         AND a.created_at > (SELECT created_at FROM revocation WHERE tenant = $1 AND id = $2)
         AND (a.service_id, a.initiator_id) IN (
           SELECT killed.service_id, killed.initiator_id
           FROM revocation r, jsonb_array_elements(r.subjects) s
           JOIN agent killed ON killed.tenant = $1 AND killed.id = s->>'id' AND s->>'kind' = 'agent'
           WHERE r.tenant = $1 AND r.id = $2)`,
      [tenant, id],
    );
    return { agents: row?.agents ?? 0, ids: row?.ids ?? [] };
  }

  /** Newest first; completions have ids of their own but are not kills, and are left out. */
  async list(
    tenant: string,
    query: KillQuery,
    before: string | undefined,
  ): Promise<RevocationRow[]> {
    const colon = query.subject?.indexOf(':') ?? -1;
    const subject = query.subject && [
      { kind: query.subject.slice(0, colon), id: query.subject.slice(colon + 1) },
    ];
    return this.work.query(
      tenant,
      `SELECT ${COLUMNS} FROM revocation
         WHERE tenant = $1 AND action <> 'complete' AND ($2::text IS NULL OR id < $2)
           AND ($3::jsonb IS NULL OR subjects @> $3)
         ORDER BY id DESC LIMIT $4`,
      [tenant, before ?? null, subject ? JSON.stringify(subject) : null, query.limit + 1],
    );
  }

  async rememberCommit(tenant: string, id: string, replica: string, monoMs: number): Promise<void> {
    await this.work.query(
      tenant,
      `UPDATE revocation SET replica = $3, committed_mono_ms = $4 WHERE tenant = $1 AND id = $2 AND replica IS NULL`,
      [tenant, id, replica, monoMs],
    );
  }

  /** Members with the state that their floors give them now. */
  async members(
    tenant: string,
    id: string,
    limit: number,
    offset: number,
  ): Promise<CascadeMember[]> {
    return this.work.query(
      tenant,
      `SELECT m.kind, m.member_id AS id, m.agent_id, a.name,
                CASE WHEN d.action = 'kill' THEN 'killed'
                     WHEN d.action = 'complete' OR a.completed_at IS NOT NULL THEN 'completed'
                     WHEN coalesce(c.expires_at, a.expires_at) <= now() THEN 'expired'
                     WHEN d.action = 'suspend' THEN 'suspended' ELSE 'active' END AS state
         FROM cascade_member m
         LEFT JOIN credential c ON m.kind = 'credential' AND c.tenant = m.tenant AND c.id = m.member_id
         LEFT JOIN agent a ON a.tenant = m.tenant AND a.id = coalesce(m.agent_id, m.member_id)
         LEFT JOIN LATERAL sever_agent_denial(a.tenant, a.id, a.lin_subjects || coalesce(c.own_subjects, '{}'),
                                              a.lin_generations || coalesce(c.own_generations, '{}')) d ON true
         WHERE m.tenant = $1 AND m.order_id = $2
         ORDER BY m.kind, m.member_id LIMIT $3 OFFSET $4`,
      [tenant, id, limit, offset],
    );
  }
}
