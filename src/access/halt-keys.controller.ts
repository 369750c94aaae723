import { Body, Controller, Delete, Get, HttpCode, Param, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { CreateHaltKey, HaltKeyInfo, HaltKeyList, HaltKeyQuery, type List } from '@sever/protocol';
import { createZodDto, ZodResponse } from 'nestjs-zod';
import { Cursors } from './cursors';
import { HaltKeyStore, type HaltKeyRow } from './halt-key.store';
import { IdPipe } from './id.pipe';
import { Access, Caller } from './policy';
import type { KeyPrincipal } from './principal';

class CreateHaltKeyDto extends createZodDto(CreateHaltKey) {}
class HaltKeyInfoDto extends createZodDto(HaltKeyInfo) {}
class HaltKeyListDto extends createZodDto(HaltKeyList) {}
class HaltKeyQueryDto extends createZodDto(HaltKeyQuery) {}

/** Who may stop agents while no control plane is left: whoever holds the private half of one of these. */
@ApiTags('access')
@Controller('v1/halt-keys')
export class HaltKeysController {
  constructor(
    private readonly keys: HaltKeyStore,
    private readonly cursors: Cursors,
  ) {}

  @Post()
  @Access('admin')
  @ZodResponse({ status: 201, type: HaltKeyInfoDto })
  async create(@Caller() by: KeyPrincipal, @Body() body: CreateHaltKeyDto): Promise<HaltKeyInfo> {
    return shown(await this.keys.create(by, body));
  }

  @Get()
  @Access('admin')
  @ZodResponse({ type: HaltKeyListDto })
  async list(
    @Caller() by: KeyPrincipal,
    @Query() { limit, cursor }: HaltKeyQueryDto,
  ): Promise<List<HaltKeyInfo>> {
    const place = { tenant: by.tenant, list: 'halt_key' };
    const after = this.cursors.read(place, cursor);
    const rows = await this.keys.list(by.tenant, { limit: limit + 1, after });
    return this.cursors.page(place, rows.map(shown), limit, (last) => last.id);
  }

  @Delete(':id')
  @Access('admin')
  @HttpCode(204)
  async revoke(
    @Caller() by: KeyPrincipal,
    @Param('id', new IdPipe('haltKey')) id: string,
  ): Promise<void> {
    await this.keys.revoke(by, id);
  }
}

function shown(row: HaltKeyRow): HaltKeyInfo {
  return {
    ...{ id: row.id, name: row.name, kid: row.kid, public_key: row.public_jwk },
    created_at: row.created_at.toISOString(),
    revoked_at: row.revoked_at?.toISOString() ?? null,
  };
}
