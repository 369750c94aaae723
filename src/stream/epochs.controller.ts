import { Controller, Get, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { EpochList, EpochQuery } from '@sever/protocol';
import { createZodDto, ZodResponse } from 'nestjs-zod';
import { Cursors } from '../access/cursors';
import { Access, Caller, READERS } from '../access/policy';
import type { KeyPrincipal } from '../access/principal';
import { EpochStore } from './epoch.store';

class EpochQueryDto extends createZodDto(EpochQuery) {}
class EpochListDto extends createZodDto(EpochList) {}

@ApiTags('stopping')
@Controller('v1/epochs')
export class EpochsController {
  constructor(
    private readonly store: EpochStore,
    private readonly cursors: Cursors,
  ) {}

  /** Each time that the database was found to have gone back: what was restored, and what is lost. */
  @Get()
  @Access(...READERS)
  @ZodResponse({ type: EpochListDto })
  async list(@Caller() by: KeyPrincipal, @Query() query: EpochQueryDto) {
    const place = { tenant: by.tenant, list: 'epochs' };
    const before = this.cursors.read(place, query.cursor);
    const rows = await this.store.list(
      by.tenant,
      query.limit + 1,
      before === undefined ? null : Number(before),
    );
    return this.cursors.page(place, rows, query.limit, (last) => String(last.epoch));
  }
}
