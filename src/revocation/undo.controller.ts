import { Body, Controller, HttpCode, Param, Post, Query, Res } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { Kill, ReasonRequest, ReinstateReply, ReinstateRequest, WaitQuery } from '@sever/protocol';
import type { FastifyReply } from 'fastify';
import { createZodDto, ZodResponse } from 'nestjs-zod';
import { IdPipe } from '../access/id.pipe';
import { AccessToStop, Caller } from '../access/policy';
import type { AgentPrincipal, KeyPrincipal } from '../access/principal';
import { KillSubjects } from './kill';
import { statusOf } from './kill-status';
import { LiftSuspension } from './lift';
import { ReinstateSubject } from './reinstate';
import { readWait } from './wait';

class ReasonRequestDto extends createZodDto(ReasonRequest) {}
class ReinstateRequestDto extends createZodDto(ReinstateRequest) {}
class ReinstateReplyDto extends createZodDto(ReinstateReply) {}
class WaitQueryDto extends createZodDto(WaitQuery) {}
class KillDto extends createZodDto(Kill) {}

/** What becomes of an order afterwards: lifted, sharpened into a kill, or its subject brought back. */
@ApiTags('stopping')
@Controller('v1')
export class UndoController {
  constructor(
    private readonly kills: KillSubjects,
    private readonly lifts: LiftSuspension,
    private readonly reinstatements: ReinstateSubject,
  ) {}

  @Post('kills/:id/lift')
  @HttpCode(200)
  @AccessToStop('lead', 'responder')
  @ZodResponse({ status: 200, type: KillDto })
  async lift(
    @Caller() by: KeyPrincipal,
    @Param('id', new IdPipe('kill')) id: string,
    @Body() { reason }: ReasonRequestDto,
  ) {
    return this.lifts.lift(by, id, reason);
  }

  @Post('kills/:id/escalate')
  @AccessToStop('responder', 'playbook', 'lead', 'admin', 'service', 'agent')
  @ZodResponse({ status: 200, type: KillDto, description: 'contained; 202 while it is not' })
  async escalate(
    @Caller() by: KeyPrincipal | AgentPrincipal,
    @Param('id', new IdPipe('kill')) id: string,
    @Body() { reason }: ReasonRequestDto,
    @Query() { wait }: WaitQueryDto,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const kill = await this.kills.escalate(by, id, reason, readWait(wait));
    void reply.status(statusOf(kill));
    return kill;
  }

  @Post('subjects/:kind/:id/reinstate')
  @HttpCode(200)
  @AccessToStop('lead')
  @ZodResponse({ status: 200, type: ReinstateReplyDto })
  async reinstate(
    @Caller() by: KeyPrincipal,
    @Param('kind') kind: string,
    @Param('id') id: string,
    @Body() body: ReinstateRequestDto,
  ) {
    return this.reinstatements.reinstate(by, { kind, id }, body);
  }
}
