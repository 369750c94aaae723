import { Body, Controller, Delete, Get, HttpCode, Param, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import {
  ApiKeyCreated,
  ApiKeyList,
  CreateApiKey,
  CreateEnrolmentKey,
  EnrolmentKeyCreated,
  EnrolmentKeyList,
  KeyQuery,
  type ApiKeyInfo,
  type List,
} from '@sever/protocol';
import { createZodDto, ZodResponse } from 'nestjs-zod';
import { ApiKeyEntity, EnrolmentKeyEntity } from './api-key.entity';
import { Cursors } from './cursors';
import { IdPipe } from './id.pipe';
import { KeyStore } from './key.store';
import { Access, Caller } from './policy';
import type { KeyPrincipal } from './principal';

class CreateApiKeyDto extends createZodDto(CreateApiKey) {}
class CreateEnrolmentKeyDto extends createZodDto(CreateEnrolmentKey) {}
class KeyQueryDto extends createZodDto(KeyQuery) {}
class ApiKeyCreatedDto extends createZodDto(ApiKeyCreated) {}
class ApiKeyListDto extends createZodDto(ApiKeyList) {}
class EnrolmentKeyCreatedDto extends createZodDto(EnrolmentKeyCreated) {}
class EnrolmentKeyListDto extends createZodDto(EnrolmentKeyList) {}

@ApiTags('access')
@Controller('v1')
export class KeysController {
  constructor(
    private readonly keys: KeyStore,
    private readonly cursors: Cursors,
  ) {}

  @Post('api-keys')
  @Access('admin')
  @ZodResponse({ status: 201, type: ApiKeyCreatedDto })
  async createApiKey(@Caller() by: KeyPrincipal, @Body() body: CreateApiKeyDto) {
    const { row, key } = await this.keys.createApiKey(by, body);
    return {
      id: row.id,
      role: body.role,
      name: row.name,
      key,
      expires_at: row.expiresAt.toISOString(),
    };
  }

  @Get('api-keys')
  @Access('admin')
  @ZodResponse({ type: ApiKeyListDto })
  async listApiKeys(@Caller() by: KeyPrincipal, @Query() query: KeyQueryDto) {
    return this.page(by.tenant, ApiKeyEntity, query, (row) => ({
      ...shown(row),
      role: row.role as ApiKeyInfo['role'],
    }));
  }

  @Delete('api-keys/:id')
  @Access('admin')
  @HttpCode(204)
  async revokeApiKey(
    @Caller() by: KeyPrincipal,
    @Param('id', new IdPipe('apiKey')) id: string,
  ): Promise<void> {
    await this.keys.revoke(by, ApiKeyEntity, id);
  }

  @Post('enrolment-keys')
  @Access('admin')
  @ZodResponse({ status: 201, type: EnrolmentKeyCreatedDto })
  async createEnrolmentKey(@Caller() by: KeyPrincipal, @Body() body: CreateEnrolmentKeyDto) {
    const { row, key } = await this.keys.createEnrolmentKey(by, body);
    return {
      id: row.id,
      role: 'enforcement_point' as const,
      name: row.name,
      key,
      expires_at: row.expiresAt.toISOString(),
    };
  }

  @Get('enrolment-keys')
  @Access('admin')
  @ZodResponse({ type: EnrolmentKeyListDto })
  async listEnrolmentKeys(@Caller() by: KeyPrincipal, @Query() query: KeyQueryDto) {
    return this.page(by.tenant, EnrolmentKeyEntity, query, (row) => ({
      ...shown(row),
      role: 'enforcement_point' as const,
    }));
  }

  @Delete('enrolment-keys/:id')
  @Access('admin')
  @HttpCode(204)
  async revokeEnrolmentKey(
    @Caller() by: KeyPrincipal,
    @Param('id', new IdPipe('enrolmentKey')) id: string,
  ): Promise<void> {
    await this.keys.revoke(by, EnrolmentKeyEntity, id);
  }

  private async page<R extends ApiKeyEntity | EnrolmentKeyEntity, T extends { id: string }>(
    tenant: string,
    entity: new () => R,
    { limit, cursor }: { limit: number; cursor?: string | undefined },
    show: (row: R) => T,
  ): Promise<List<T>> {
    const place = { tenant, list: entity.name };
    const after = this.cursors.read(place, cursor);
    const rows = await this.keys.list(tenant, entity, { limit: limit + 1, after });
    return this.cursors.page(place, rows.map(show), limit, (last) => last.id);
  }
}

function shown(row: ApiKeyEntity | EnrolmentKeyEntity) {
  return {
    id: row.id,
    name: row.name,
    created_at: row.createdAt.toISOString(),
    expires_at: row.expiresAt.toISOString(),
    last_used_at: row.lastUsedAt?.toISOString() ?? null,
    revoked_at: row.revokedAt?.toISOString() ?? null,
  };
}
