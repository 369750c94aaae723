import { Body, Controller, Header, HttpCode, Post } from '@nestjs/common';
import { ApiBody, ApiOkResponse, ApiProduces, ApiTags } from '@nestjs/swagger';
import { JWS_CONTENT_TYPE, LeaseRequest, ProblemError } from '@sever/protocol';
import { createZodDto } from 'nestjs-zod';
import { AccessToListen, Caller } from '../access/policy';
import type { Principal } from '../access/principal';
import { readJws } from '../stream/read-jws';
import { Replica } from '../stream/replica';
import { Leases } from './leases';
import { Receipts } from './receipts';

class LeaseRequestDto extends createZodDto(LeaseRequest) {}

const JWS = { type: 'string', format: JWS_CONTENT_TYPE } as const;

/** What an enforcement point asks and says over HTTP, beside the stream that it listens to. */
@ApiTags('stream')
@Controller('v1/stream')
export class SecondRoadController {
  constructor(
    private readonly leases: Leases,
    private readonly receipts: Receipts,
    private readonly replica: Replica,
  ) {}

  /** A lease, or a refusal: both under the lease key. */
  @Post('lease')
  @HttpCode(200)
  @Header('content-type', JWS_CONTENT_TYPE)
  @AccessToListen('enforcement_point')
  @ApiProduces(JWS_CONTENT_TYPE)
  @ApiOkResponse({ content: { [JWS_CONTENT_TYPE]: { schema: JWS } } })
  async lease(@Caller() caller: Principal, @Body() request: LeaseRequestDto): Promise<string> {
    const question = { tenant: caller.tenant, ep: caller.id, request };
    const reply = await this.leases.give(question);
    if (reply === null) throw new ProblemError('not_found', 'There is no such enforcement point.');
    return reply;
  }

  /** A receipt, or a leave. */
  @Post('receipts')
  @HttpCode(204)
  @AccessToListen('enforcement_point')
  @ApiBody({ description: 'A receipt or a leave', schema: JWS })
  async receipt(@Caller() caller: Principal, @Body() body: unknown): Promise<void> {
    const arrivedAt = this.replica.monotonic();
    const from = { tenant: caller.tenant, ep: caller.id };
    switch (await this.receipts.take(from, readJws(body), arrivedAt)) {
      case 'taken':
        return;
      case 'not_signed':
        throw new ProblemError(
          'bad_request',
          'This is no receipt or leave that this enforcement point has signed.',
        );
      case 'does_not_hold':
        throw new ProblemError(
          'unprocessable',
          'The boot is not known here, or the place is not one of this stream: take a snapshot.',
        );
    }
  }
}
