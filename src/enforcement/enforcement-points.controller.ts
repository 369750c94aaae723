import { Body, Controller, Get, HttpCode, HttpStatus, Post, Put, Query, Res } from '@nestjs/common';
import {
  EnforcementPointList,
  EnforcementPointQuery,
  EnforcementPointSelf,
  EnrolReply,
  EnrolRequest,
  Serves,
} from '@sever/protocol';
import type { FastifyReply } from 'fastify';
import { createZodDto, ZodResponse } from 'nestjs-zod';
import { Access, Caller, READERS } from '../access/policy';
import type { EnrollerPrincipal, KeyPrincipal, Principal } from '../access/principal';
import { Enrol } from './enrol';
import { ListEnforcementPoints } from './list-enforcement-points';

class EnrolRequestDto extends createZodDto(EnrolRequest) {}
class EnrolReplyDto extends createZodDto(EnrolReply) {}
class EnforcementPointQueryDto extends createZodDto(EnforcementPointQuery) {}
class EnforcementPointListDto extends createZodDto(EnforcementPointList) {}
class ServesDto extends createZodDto(Serves) {}
class EnforcementPointSelfDto extends createZodDto(EnforcementPointSelf) {}

@Controller('v1/enforcement-points')
export class EnforcementPointsController {
  constructor(
    private readonly enrolment: Enrol,
    private readonly points: ListEnforcementPoints,
  ) {}

  /** 201 for a new enforcement point, 200 for one whose key is known. */
  @Post()
  @Access('enroller')
  @ZodResponse({ status: HttpStatus.CREATED, type: EnrolReplyDto })
  async enrol(
    @Caller() caller: Principal,
    @Body() body: EnrolRequestDto,
    @Res({ passthrough: true }) response: FastifyReply,
  ): Promise<EnrolReply> {
    const { created, reply } = await this.enrolment.enrol(
      caller as EnrollerPrincipal | KeyPrincipal,
      body,
    );
    void response.status(created ? HttpStatus.CREATED : HttpStatus.OK);
    return reply;
  }

  @Get()
  @Access(...READERS)
  @ZodResponse({ status: HttpStatus.OK, type: EnforcementPointListDto })
  async list(@Caller() caller: Principal, @Query() query: EnforcementPointQueryDto) {
    return this.points.list(caller.tenant, query);
  }

  @Get('self')
  @Access('enforcement_point')
  @ZodResponse({ status: HttpStatus.OK, type: EnforcementPointSelfDto })
  async self(@Caller() caller: Principal) {
    return this.points.self(caller.tenant, caller.id);
  }

  /** What it stands before, for people who look for a name. */
  @Put('self/serves')
  @Access('enforcement_point')
  @HttpCode(HttpStatus.NO_CONTENT)
  async serves(@Caller() caller: Principal, @Body() body: ServesDto): Promise<void> {
    await this.points.serves(caller.tenant, caller.id, body);
  }
}
