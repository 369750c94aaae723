import { Injectable } from '@nestjs/common';
import { UnitOfWork } from '../database/unit-of-work';
import type { MintAnswer } from './mint-credential';

@Injectable()
export class CredentialStore {
  constructor(private readonly work: UnitOfWork) {}

  /**
   * Scopes of an agent; they never change, so they may be read before the fence.
   *
   * @param serviceId only if this service started its tree; what others hold is not shown by a refusal either
   */
  async agentScopes(
    tenant: string,
    agentId: string,
    serviceId: string | null,
  ): Promise<string[] | undefined> {
    const [row] = await this.work.query<{ scopes: string[] }>(
      tenant,
      `SELECT scopes FROM agent WHERE tenant = $1 AND id = $2 AND service_id = coalesce($3, service_id)`,
      [tenant, agentId, serviceId],
    );
    return row?.scopes;
  }

  /** `sever_mint`: fence, check, insert, in one call. */
  async mint(parameters: object): Promise<MintAnswer> {
    const [row] = await this.work.call<{ answer: MintAnswer }>(`SELECT sever_mint($1) AS answer`, [
      JSON.stringify(parameters),
    ]);
    return (row as { answer: MintAnswer }).answer;
  }
}
