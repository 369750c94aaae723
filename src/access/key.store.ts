import { Injectable } from '@nestjs/common';
import { newId, ProblemError, type CreateApiKey, type CreateEnrolmentKey } from '@sever/protocol';
import { IsNull, MoreThan, type FindOptionsWhere } from 'typeorm';
import { UnitOfWork } from '../database/unit-of-work';
import { ApiKeyEntity, EnrolmentKeyEntity, PrincipalEntity } from './api-key.entity';
import { KnownKeys } from './known-keys';
import type { KeyPrincipal } from './principal';
import { hashSecretKey, newSecretKey } from './secret-keys';

const DEFAULT_LIFE_SECONDS = 90 * 86_400;

export interface Page {
  limit: number;
  after: string | undefined;
}

/** Issues, lists and ends the secrets of callers. A secret is shown once, and only its hash is kept. */
@Injectable()
export class KeyStore {
  constructor(
    private readonly work: UnitOfWork,
    private readonly known: KnownKeys,
  ) {}

  async createApiKey(
    by: KeyPrincipal,
    asked: CreateApiKey,
  ): Promise<{ row: ApiKeyEntity; key: string }> {
    const key = newSecretKey('api');
    const row = new ApiKeyEntity();
    Object.assign(row, this.columns(by.tenant, 'apiKey', asked, key), {
      principalId: newId('principal'),
      role: asked.role,
    });
    await this.work.forTenant(by.tenant, async (manager) => {
      await manager.insert(PrincipalEntity, {
        tenant: by.tenant,
        id: row.principalId,
        role: asked.role,
        name: asked.name,
      });
      await manager.insert(ApiKeyEntity, row);
      await audit(manager.query.bind(manager), by, 'api_key.create', {
        key_id: row.id,
        role: asked.role,
      });
    });
    return { row, key };
  }

  async createEnrolmentKey(
    by: KeyPrincipal,
    asked: CreateEnrolmentKey,
  ): Promise<{ row: EnrolmentKeyEntity; key: string }> {
    const key = newSecretKey('enrolment');
    const row = new EnrolmentKeyEntity();
    Object.assign(row, this.columns(by.tenant, 'enrolmentKey', asked, key));
    await this.work.forTenant(by.tenant, async (manager) => {
      await manager.insert(EnrolmentKeyEntity, row);
      await audit(manager.query.bind(manager), by, 'enrolment_key.create', { key_id: row.id });
    });
    return { row, key };
  }

  async list<T extends ApiKeyEntity | EnrolmentKeyEntity>(
    tenant: string,
    entity: new () => T,
    page: Page,
  ): Promise<T[]> {
    return this.work.forTenant(tenant, (manager) =>
      manager.find(entity, {
        where: (page.after
          ? { tenant, id: MoreThan(page.after) }
          : { tenant }) as FindOptionsWhere<T>,
        order: { id: 'ASC' } as never,
        take: page.limit,
      }),
    );
  }

  /** Ends a key now. Ending it again changes nothing. @throws ProblemError `not_found` */
  async revoke(
    by: KeyPrincipal,
    entity: typeof ApiKeyEntity | typeof EnrolmentKeyEntity,
    id: string,
  ): Promise<void> {
    await this.work.forTenant(by.tenant, async (manager) => {
      const where = { tenant: by.tenant, id };
      if (!(await manager.existsBy(entity, where)))
        throw new ProblemError('not_found', `There is no key ${id}.`);
      const { affected } = await manager.update(
        entity,
        { ...where, revokedAt: IsNull() },
        { revokedAt: () => 'now()' },
      );
      if (affected) await audit(manager.query.bind(manager), by, 'key.revoke', { key_id: id });
    });
    this.known.forget(id);
  }

  private columns(
    tenant: string,
    kind: 'apiKey' | 'enrolmentKey',
    asked: { name: string; expires_in?: number | undefined },
    key: string,
  ) {
    return {
      tenant,
      id: newId(kind),
      name: asked.name,
      hash: hashSecretKey(key),
      createdAt: new Date(),
      expiresAt: new Date(Date.now() + (asked.expires_in ?? DEFAULT_LIFE_SECONDS) * 1_000),
      lastUsedAt: null,
      revokedAt: null,
    };
  }
}

async function audit(
  query: (sql: string, parameters: unknown[]) => Promise<unknown>,
  by: KeyPrincipal,
  action: string,
  record: object,
): Promise<void> {
  await query(`SELECT sever_audit($1, $2, $3, $4)`, [
    by.tenant,
    newId('audit'),
    action,
    { actor: { id: by.id, name: by.name, kind: by.kind }, ...record },
  ]);
}
