import { Injectable } from '@nestjs/common';
import type { DataSource, EntityManager } from 'typeorm';
import type { IsolationLevel } from 'typeorm/driver/types/IsolationLevel';

/** The two data sources: one sees the named tenant only, the other every tenant. */
export interface DataSources {
  readonly app: DataSource;
  readonly system: DataSource;
}

/**
 * The only place that opens a transaction. Whatever runs for a tenant sees that tenant's rows and no others, by
 * row-level security; what has no tenant yet (looking a key up, relaying the stream) runs as the system.
 */
@Injectable()
export class UnitOfWork {
  /** The tenant that a connection's session is set to; absent: none yet. */
  private readonly sessionTenant = new WeakMap<object, string>();

  constructor(private readonly sources: DataSources) {}

  /**
   * One statement for a tenant, in one round trip once a connection has served that tenant: the session's setting stays
   * and is changed only when another tenant's turn comes. A transaction's own setting goes before it.
   */
  async query<T>(tenant: string, sql: string, parameters: unknown[] = []): Promise<T[]> {
    const runner = this.sources.app.createQueryRunner();
    try {
      const connection = (await runner.connect()) as object;
      if (this.sessionTenant.get(connection) !== tenant) {
        await runner.query(`SELECT set_config('app.tenant', $1, false)`, [tenant]);
        this.sessionTenant.set(connection, tenant);
      }
      return (await runner.query(sql, parameters)) as T[];
    } finally {
      await runner.release();
    }
  }

  /** Runs in one transaction, with `app.tenant` set for its duration. */
  async forTenant<T>(
    tenant: string,
    work: (manager: EntityManager) => Promise<T>,
    isolation: IsolationLevel = 'READ COMMITTED',
  ): Promise<T> {
    return this.sources.app.transaction(isolation, async (manager) => {
      await manager.query(`SELECT set_config('app.tenant', $1, true)`, [tenant]);
      return work(manager);
    });
  }

  /**
   * One statement in a transaction of its own. For the functions that are a whole unit of work by themselves
   * (`sever_spawn`, `sever_mint`): they set the tenant themselves, and a frozen replica holds nothing between round trips.
   */
  async call<T>(sql: string, parameters: unknown[]): Promise<T[]> {
    return this.sources.app.query(sql, parameters);
  }

  /** Across tenants, in one transaction. */
  async asSystem<T>(
    work: (manager: EntityManager) => Promise<T>,
    isolation: IsolationLevel = 'READ COMMITTED',
  ): Promise<T> {
    return this.sources.system.transaction(isolation, work);
  }

  /** One statement across tenants, outside any transaction of ours. */
  async querySystem<T>(sql: string, parameters: unknown[] = []): Promise<T[]> {
    return this.sources.system.query(sql, parameters);
  }
}
