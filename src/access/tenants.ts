import { Injectable } from '@nestjs/common';
import { newId } from '@sever/protocol';
import { UnitOfWork } from '../database/unit-of-work';
import { BOOTSTRAP_ROLE } from './authenticator';
import { hashSecretKey } from './secret-keys';

export const DEFAULT_TENANT = 'default';
const BOOTSTRAP_LOCK = 7_400_002;

export interface TenantRow {
  id: string;
  issuer: string | null;
}

/** The default tenant and its first key. Replicas that start at once make them once. */
@Injectable()
export class Tenants {
  constructor(private readonly work: UnitOfWork) {}

  /** The default tenant with its stream; made when there is none. */
  async ensureDefault(): Promise<TenantRow> {
    return this.work.asSystem(async (manager) => {
      await manager.query(`SELECT pg_advisory_xact_lock($1)`, [BOOTSTRAP_LOCK]);
      await manager.query(
        `INSERT INTO tenant (id, name) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`,
        [newId('tenant'), DEFAULT_TENANT],
      );
      const [tenant]: TenantRow[] = await manager.query(
        `SELECT id, issuer FROM tenant WHERE name = $1`,
        [DEFAULT_TENANT],
      );
      if (!tenant) throw new Error('the default tenant is not there after creating it');
      await manager.query(`INSERT INTO stream_head (tenant) VALUES ($1) ON CONFLICT DO NOTHING`, [
        tenant.id,
      ]);
      return tenant;
    });
  }

  /** Is there a living first key already? Then a start without one configured makes none up: it is in use somewhere. */
  async hasBootstrapKey(tenant: string): Promise<boolean> {
    const rows = await this.work.querySystem(
      `SELECT 1 FROM api_key WHERE tenant = $1 AND role = $2 AND revoked_at IS NULL`,
      [tenant, BOOTSTRAP_ROLE],
    );
    return rows.length > 0;
  }

  /** Is this key the living first key? */
  async isBootstrapKey(tenant: string, key: string): Promise<boolean> {
    const rows = await this.work.querySystem(
      `SELECT 1 FROM api_key WHERE tenant = $1 AND role = $2 AND revoked_at IS NULL AND hash = $3`,
      [tenant, BOOTSTRAP_ROLE, hashSecretKey(key)],
    );
    return rows.length > 0;
  }

  /** Makes this the first key. Another that was set before ends; its principal, and so whose roots are whose, stays. */
  async setBootstrapKey(tenant: string, key: string): Promise<void> {
    await this.work.asSystem(async (manager) => {
      await manager.query(`SELECT pg_advisory_xact_lock($1)`, [BOOTSTRAP_LOCK]);
      await this.replaceBootstrapKey(manager.query.bind(manager), tenant, key);
    });
  }

  /** Settles `iss` once; whoever comes later gets what stands. */
  async settleIssuer(tenant: string, url: string): Promise<string> {
    return this.work.asSystem(async (manager) => {
      await manager.query(`UPDATE tenant SET issuer = coalesce(issuer, $2) WHERE id = $1`, [
        tenant,
        url,
      ]);
      const [row]: TenantRow[] = await manager.query(
        `SELECT id, issuer FROM tenant WHERE id = $1`,
        [tenant],
      );
      return row?.issuer ?? url;
    });
  }

  private async replaceBootstrapKey(
    query: (sql: string, parameters: unknown[]) => Promise<unknown>,
    tenant: string,
    key: string,
  ): Promise<void> {
    const rows = (await query(
      `SELECT id, hash, principal_id FROM api_key WHERE tenant = $1 AND role = $2 AND revoked_at IS NULL`,
      [tenant, BOOTSTRAP_ROLE],
    )) as { id: string; hash: Buffer; principal_id: string }[];
    const hash = hashSecretKey(key);
    if (rows.some((row) => row.hash.equals(hash))) return;
    for (const row of rows)
      await query(`UPDATE api_key SET revoked_at = now() WHERE tenant = $1 AND id = $2`, [
        tenant,
        row.id,
      ]);
    const principal = rows[0]?.principal_id ?? newId('principal');
    await query(
      `INSERT INTO principal (tenant, id, role, name) VALUES ($1, $2, $3, 'bootstrap') ON CONFLICT DO NOTHING`,
      [tenant, principal, BOOTSTRAP_ROLE],
    );
    await query(
      `INSERT INTO api_key (tenant, id, principal_id, role, name, hash, expires_at)
       VALUES ($1, $2, $3, $4, 'bootstrap', $5, '9999-12-31T00:00:00Z')
       ON CONFLICT (hash) DO UPDATE SET revoked_at = NULL`,
      [tenant, newId('apiKey'), principal, BOOTSTRAP_ROLE, hash],
    );
  }
}
