import { Body, Controller, Get, HttpCode, Post, Query } from '@nestjs/common';
import { ApiBody, ApiOkResponse, ApiTags, type ApiResponseSchemaHost } from '@nestjs/swagger';
import { CallList, CallQuery, CallReply, JWS_CONTENT_TYPE, ProblemError } from '@sever/protocol';
import { createZodDto, ZodResponse } from 'nestjs-zod';
import { z } from 'zod';
import { Cursors } from '../access/cursors';
import { Access, Caller } from '../access/policy';
import type { KeyPrincipal, Principal } from '../access/principal';
import { readJws } from '../stream/read-jws';
import { toCall } from './call-view';
import { CallStore, type CallPlace } from './call.store';
import { TakeCalls } from './take-calls';

class CallQueryDto extends createZodDto(CallQuery) {}
class CallListDto extends createZodDto(CallList) {}

/** One of two shapes, which a class cannot be. */
const { $schema: _dialect, ...REPLY } = z.toJSONSchema(CallReply, { io: 'output' });

/** What agents did, and in whose name. Whoever runs the place (`admin`) does not read that. */
@ApiTags('calls')
@Controller('v1')
export class CallsController {
  constructor(
    private readonly store: CallStore,
    private readonly calls: TakeCalls,
    private readonly cursors: Cursors,
  ) {}

  @Get('calls')
  @Access('responder', 'lead', 'auditor', 'playbook')
  @ZodResponse({ type: CallListDto })
  async list(@Caller() by: KeyPrincipal, @Query() query: CallQueryDto) {
    const place = { tenant: by.tenant, list: 'calls' };
    const before = placeOf(this.cursors.read(place, query.cursor));
    const rows = await this.store.list(by.tenant, query, before);
    return this.cursors.page(place, rows.map(toCall), query.limit, ({ started_at, id }) =>
      [Date.parse(started_at), id].join(' '),
    );
  }

  /** The second road: records of calls as an enforcement point signs them. */
  @Post('stream/calls')
  @HttpCode(200)
  @Access('enforcement_point')
  @ApiBody({
    description: 'Records of calls',
    schema: { type: 'string', format: JWS_CONTENT_TYPE },
  })
  @ApiOkResponse({ schema: REPLY as NonNullable<ApiResponseSchemaHost['schema']> })
  async take(@Caller() caller: Principal, @Body() body: unknown): Promise<CallReply> {
    return this.calls.take({ tenant: caller.tenant, ep: caller.id }, readJws(body));
  }
}

function placeOf(position: string | undefined): CallPlace | undefined {
  if (position === undefined) return undefined;
  const [ms, id] = position.split(' ');
  if (ms === undefined || id === undefined)
    throw new ProblemError('bad_request', 'cursor: use next_cursor of the page before, unchanged.');
  return { startedMs: Number(ms), id };
}
