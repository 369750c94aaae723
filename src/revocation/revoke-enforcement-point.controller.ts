import { Controller, Delete, Param } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Kill } from '@sever/protocol';
import { createZodDto, ZodResponse } from 'nestjs-zod';
import { IdPipe } from '../access/id.pipe';
import { Access, Caller } from '../access/policy';
import type { KeyPrincipal } from '../access/principal';
import { KillSubjects } from './kill';

class KillDto extends createZodDto(Kill) {}

/**
 * Removing an enforcement point is a kill of it: it refuses everything once it hears, its access ends at once, and
 * earlier kills do not come to look contained by its going.
 */
@ApiTags('enforcement points')
@Controller('v1/enforcement-points')
export class RevokeEnforcementPointController {
  constructor(private readonly kills: KillSubjects) {}

  @Delete(':id')
  @Access('admin')
  @ZodResponse({ status: 200, type: KillDto })
  async revoke(
    @Caller() by: KeyPrincipal,
    @Param('id', new IdPipe('enforcementPoint')) id: string,
  ) {
    return this.kills.revokeEnforcementPoint(by, id);
  }
}
