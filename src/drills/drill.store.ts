import { Injectable } from '@nestjs/common';
import { newId, type DrillOutcome } from '@sever/protocol';
import { UnitOfWork } from '../database/unit-of-work';

export interface DrillRow {
  tenant: string;
  id: string;
  via: string[];
  every_ms: number;
  bound_ms: number;
  quarantine: boolean;
  created_at: Date;
  next_at: Date;
  last: DrillOutcome | null;
}

export type DrillTerms = Pick<DrillRow, 'via' | 'every_ms' | 'bound_ms' | 'quarantine'>;

const COLUMNS = 'tenant, id, via, every_ms, bound_ms, quarantine, created_at, next_at, last';
/** The name under which canaries are started, the same for all drills of a tenant. */
const SERVICE = 'sever drill';

@Injectable()
export class DrillStore {
  constructor(private readonly work: UnitOfWork) {}

  async create(tenant: string, terms: DrillTerms, actor: object): Promise<DrillRow> {
    return this.work.forTenant(tenant, async (manager) => {
      const [row] = await manager.query<DrillRow[]>(
        `INSERT INTO drill (tenant, id, via, every_ms, bound_ms, quarantine) VALUES ($1, $2, $3, $4, $5, $6)
         RETURNING ${COLUMNS}`,
        [tenant, newId('drill'), terms.via, terms.every_ms, terms.bound_ms, terms.quarantine],
      );
      await this.audit(manager, tenant, 'drill.create', { actor, drill_id: row?.id, ...terms });
      return row as DrillRow;
    });
  }

  async list(tenant: string, after: string | undefined, limit: number): Promise<DrillRow[]> {
    return this.work.query(
      tenant,
      `SELECT ${COLUMNS} FROM drill WHERE tenant = $1 AND id > $2 AND ended_at IS NULL ORDER BY id LIMIT $3`,
      [tenant, after ?? '', limit],
    );
  }

  /** @returns false when there is none, or it has ended before */
  async end(tenant: string, id: string, actor: object): Promise<boolean> {
    return this.work.forTenant(tenant, async (manager) => {
      const [, count] = await manager.query<[unknown, number]>(
        `UPDATE drill SET ended_at = now() WHERE tenant = $1 AND id = $2 AND ended_at IS NULL`,
        [tenant, id],
      );
      if (count > 0) await this.audit(manager, tenant, 'drill.end', { actor, drill_id: id });
      return count > 0;
    });
  }

  /** Takes one whose time has come, so that no other replica does. */
  async takeDue(): Promise<DrillRow | undefined> {
    const [[row]] = (await this.work.querySystem<never>(
      `UPDATE drill SET next_at = greatest(next_at, now()) + make_interval(secs => every_ms / 1000.0)
       WHERE (tenant, id) = (
         SELECT tenant, id FROM drill WHERE ended_at IS NULL AND next_at <= now()
         ORDER BY next_at LIMIT 1 FOR UPDATE SKIP LOCKED)
       RETURNING ${COLUMNS}`,
    )) as unknown as [DrillRow[], number];
    return row;
  }

  async keep({ tenant, id }: DrillRow, outcome: DrillOutcome): Promise<void> {
    await this.work.query(tenant, `UPDATE drill SET last = $3 WHERE tenant = $1 AND id = $2`, [
      tenant,
      id,
      JSON.stringify(outcome),
    ]);
  }

  /** The principal that canaries belong to. */
  async service(tenant: string): Promise<{ id: string; name: string }> {
    return this.work.forTenant(tenant, async (manager) => {
      await manager.query(`SELECT pg_advisory_xact_lock(hashtextextended($1, 7413))`, [tenant]);
      const find = () =>
        manager.query<{ id: string }[]>(
          `SELECT id FROM principal WHERE tenant = $1 AND role = 'drill' LIMIT 1`,
          [tenant],
        );
      const [known] = await find();
      if (known) return { id: known.id, name: SERVICE };
      const id = newId('principal');
      await manager.query(
        `INSERT INTO principal (tenant, id, role, name) VALUES ($1, $2, 'drill', $3)`,
        [tenant, id, SERVICE],
      );
      return { id, name: SERVICE };
    });
  }

  private async audit(
    manager: { query(sql: string, parameters: unknown[]): Promise<unknown> },
    tenant: string,
    action: string,
    record: object,
  ): Promise<void> {
    await manager.query(`SELECT sever_audit($1, $2, $3, $4)`, [
      tenant,
      newId('audit'),
      action,
      JSON.stringify(record),
    ]);
  }
}
