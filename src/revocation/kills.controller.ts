import {
  Body,
  Controller,
  Get,
  Headers,
  HttpCode,
  Param,
  Post,
  Query,
  Req,
  Res,
} from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import {
  CascadeList,
  Kill,
  KillAgentRequest,
  KillList,
  KillQuery,
  KillPlan,
  KillReceiptList,
  KillRequest,
  ListQuery,
  SuspendAgentRequest,
  WaitQuery,
} from '@sever/protocol';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { createZodDto, ZodResponse } from 'nestjs-zod';
import { Cursors } from '../access/cursors';
import { IdPipe } from '../access/id.pipe';
import {
  Access,
  AccessToFollow,
  AccessToStop,
  Caller,
  READERS,
  type AuthenticatedRequest,
} from '../access/policy';
import type { AgentPrincipal, KeyPrincipal } from '../access/principal';
import { KillSubjects } from './kill';
import { KillRecords } from './kill-records';
import { statusOf } from './kill-status';
import { fingerprint } from './order';
import { PreviewKill } from './preview';
import { readIdempotencyKey } from './read-order';
import { RevocationStore } from './revocation.store';
import { readWait } from './wait';

class KillRequestDto extends createZodDto(KillRequest) {}
class WaitQueryDto extends createZodDto(WaitQuery) {}
class KillAgentRequestDto extends createZodDto(KillAgentRequest) {}
class SuspendAgentRequestDto extends createZodDto(SuspendAgentRequest) {}
class KillPlanDto extends createZodDto(KillPlan) {}
class KillDto extends createZodDto(Kill) {}
class KillQueryDto extends createZodDto(KillQuery) {}
class KillListDto extends createZodDto(KillList) {}
class PageQueryDto extends createZodDto(ListQuery) {}
class CascadeListDto extends createZodDto(CascadeList) {}
class KillReceiptListDto extends createZodDto(KillReceiptList) {}

const KILLERS = ['responder', 'playbook', 'lead', 'admin', 'service', 'agent'] as const;

@ApiTags('stopping')
@Controller('v1')
export class KillsController {
  constructor(
    private readonly kills: KillSubjects,
    private readonly records: KillRecords,
    private readonly store: RevocationStore,
    private readonly cursors: Cursors,
    private readonly previews: PreviewKill,
  ) {}

  @Post('kills')
  @AccessToStop(...KILLERS)
  @ZodResponse({ status: 200, type: KillDto, description: 'contained; 202 while it is not' })
  async kill(
    @Caller() by: KeyPrincipal | AgentPrincipal,
    @Body() body: KillRequestDto,
    @Headers('idempotency-key') key: string | undefined,
    @Query() { wait }: WaitQueryDto,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return this.answer(by, body, key, wait, request, reply);
  }

  @Post('agents/:id/kill')
  @AccessToStop(...KILLERS)
  @ZodResponse({ status: 200, type: KillDto, description: 'contained; 202 while it is not' })
  async killAgent(
    @Caller() by: KeyPrincipal | AgentPrincipal,
    @Param('id', new IdPipe('agent')) id: string,
    @Body() body: KillAgentRequestDto,
    @Headers('idempotency-key') key: string | undefined,
    @Query() { wait }: WaitQueryDto,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    return this.answer(by, { subject: { kind: 'agent', id }, ...body }, key, wait, request, reply);
  }

  @Post('agents/:id/suspend')
  @AccessToStop(...KILLERS)
  @ZodResponse({ status: 200, type: KillDto, description: 'contained; 202 while it is not' })
  async suspendAgent(
    @Caller() by: KeyPrincipal | AgentPrincipal,
    @Param('id', new IdPipe('agent')) id: string,
    @Body() body: SuspendAgentRequestDto,
    @Headers('idempotency-key') key: string | undefined,
    @Query() { wait }: WaitQueryDto,
    @Req() request: FastifyRequest,
    @Res({ passthrough: true }) reply: FastifyReply,
  ) {
    const order = { subject: { kind: 'agent', id }, action: 'suspend' as const, ...body };
    return this.answer(by, order, key, wait, request, reply);
  }

  @Post('kills/preview')
  @HttpCode(200)
  @AccessToStop(...KILLERS)
  @ZodResponse({ status: 200, type: KillPlanDto })
  async preview(@Caller() by: KeyPrincipal | AgentPrincipal, @Body() body: KillRequestDto) {
    return this.previews.preview(by, body);
  }

  @Get('kills')
  @Access(...READERS)
  @ZodResponse({ type: KillListDto })
  async list(@Caller() by: KeyPrincipal, @Query() query: KillQueryDto) {
    const place = { tenant: by.tenant, list: 'kills' };
    const rows = await this.store.list(by.tenant, query, this.cursors.read(place, query.cursor));
    const page = this.cursors.page(place, rows, query.limit, (last) => last.id);
    return { ...page, items: await this.records.toKills(by.tenant, page.items) };
  }

  @Get('kills/:id')
  @AccessToFollow(...READERS)
  @ZodResponse({ type: KillDto })
  async get(@Caller() by: KeyPrincipal, @Param('id', new IdPipe('kill')) id: string) {
    return this.records.get(by.tenant, id);
  }

  @Get('kills/:id/cascade')
  @Access(...READERS)
  @ZodResponse({ type: CascadeListDto })
  async cascade(
    @Caller() by: KeyPrincipal,
    @Param('id', new IdPipe('kill')) id: string,
    @Query() query: PageQueryDto,
  ) {
    await this.records.find(by.tenant, id);
    const place = { tenant: by.tenant, list: `cascade of ${id}` };
    const offset = this.cursors.readOffset(place, query.cursor);
    const rows = await this.store.members(by.tenant, id, query.limit + 1, offset);
    return this.cursors.page(place, rows, query.limit, () => String(offset + query.limit));
  }

  @Get('kills/:id/receipts')
  @Access(...READERS)
  @ZodResponse({ type: KillReceiptListDto })
  async receipts(
    @Caller() by: KeyPrincipal,
    @Param('id', new IdPipe('kill')) id: string,
    @Query() query: PageQueryDto,
  ) {
    const place = { tenant: by.tenant, list: `receipts of ${id}` };
    const offset = this.cursors.readOffset(place, query.cursor);
    const receipts = await this.records.receipts(by.tenant, id);
    const rows = receipts.slice(offset, offset + query.limit + 1);
    return this.cursors.page(place, rows, query.limit, () => String(offset + query.limit));
  }

  private async answer(
    by: KeyPrincipal | AgentPrincipal,
    body: KillRequest,
    key: string | undefined,
    wait: string | undefined,
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<Kill> {
    const idempotencyKey = readIdempotencyKey(key);
    const path = request.url.split('?', 1)[0] ?? '';
    const kill = await this.kills.kill(by, body, {
      idempotency:
        idempotencyKey === null
          ? null
          : { key: idempotencyKey, fingerprint: fingerprint('POST', path, body) },
      waitMs: readWait(wait),
      arrivedAt: (request as AuthenticatedRequest).arrivedAt,
    });
    void reply.status(statusOf(kill));
    return kill;
  }
}
