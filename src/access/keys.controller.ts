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
} from '@sever/protocol';
import { createZodDto, ZodResponse } from 'nestjs-zod';
import { ApiKeyEntity, EnrolmentKeyEntity } from './api-key.entity';
import { decodeCursor, pageOf } from './cursor';
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
  constructor(private readonly keys: KeyStore) {}

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
    const rows = await this.keys.list(by.tenant, ApiKeyEntity, after(query));
    return pageOf(
      rows.map((row) => ({ ...shown(row), role: row.role as ApiKeyInfo['role'] })),
      query.limit,
    );
  }

  @Delete('api-keys/:id')
  @Access('admin')
  @HttpCode(204)
  async revokeApiKey(@Caller() by: KeyPrincipal, @Param('id') id: string): Promise<void> {
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
    const rows = await this.keys.list(by.tenant, EnrolmentKeyEntity, after(query));
    return pageOf(
      rows.map((row) => ({ ...shown(row), role: 'enforcement_point' as const })),
      query.limit,
    );
  }

  @Delete('enrolment-keys/:id')
  @Access('admin')
  @HttpCode(204)
  async revokeEnrolmentKey(@Caller() by: KeyPrincipal, @Param('id') id: string): Promise<void> {
    await this.keys.revoke(by, EnrolmentKeyEntity, id);
  }
}

function after(query: { limit: number; cursor?: string | undefined }) {
  return { limit: query.limit + 1, after: decodeCursor(query.cursor) };
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
