import { Controller, Delete, Param, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Kill } from '@sever/protocol';
import type { FastifyReply } from 'fastify';
import { createZodDto, ZodResponse } from 'nestjs-zod';
import { IdPipe } from '../access/id.pipe';
import { AccessToStop, Caller } from '../access/policy';
import type { KeyPrincipal } from '../access/principal';
import { KillSubjects } from './kill';
import { statusOf } from './kill-status';

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
  @AccessToStop('admin')
  @ZodResponse({ status: 200, type: KillDto, description: 'contained; 202 while it is not' })
  async revoke(
    @Caller() by: KeyPrincipal,
    @Param('id', new IdPipe('enforcementPoint')) id: string,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const kill = await this.kills.revokeEnforcementPoint(by, id);
    void reply.status(statusOf(kill));
    return kill;
  }
}
