import { Readable } from 'node:stream';
import { Body, Controller, Get, HttpCode, Post, Query, StreamableFile } from '@nestjs/common';
import { ApiBody, ApiOkResponse, ApiProduces, ApiTags } from '@nestjs/swagger';
import {
  EvidenceReply,
  JWS_CONTENT_TYPE,
  parsePosition,
  ProblemError,
  RangeReply,
  RangeRequest,
  SNAPSHOT_CONTENT_TYPE,
  SnapshotQuery,
  STREAM_WAIT_MAX_MS,
  StreamPage,
  StreamQuery,
} from '@sever/protocol';
import { createZodDto, ZodResponse } from 'nestjs-zod';
import { Access, AccessToListen, Caller } from '../access/policy';
import type { Principal } from '../access/principal';
import { readWait } from '../access/wait';
import { Evidence } from './evidence';
import { readJws } from './read-jws';
import { Ranges } from './ranges';
import { Snapshots } from './snapshots';
import { StreamFeed } from './stream-feed';

class StreamQueryDto extends createZodDto(StreamQuery) {}
class StreamPageDto extends createZodDto(StreamPage) {}
class SnapshotQueryDto extends createZodDto(SnapshotQuery) {}
class RangeRequestDto extends createZodDto(RangeRequest) {}
class EvidenceReplyDto extends createZodDto(EvidenceReply) {}
class RangeReplyDto extends createZodDto(RangeReply) {}

const SNAPSHOT_BODY = {
  description: 'The signed manifest, then each chunk, one a line.',
  content: { [SNAPSHOT_CONTENT_TYPE]: { schema: { type: 'string' as const } } },
};

/**
 * The second road: the messages that an enforcement point gets over NATS, for one whom the broker does not reach. Who it
 * is, its access key says.
 */
@ApiTags('stream')
@Controller('v1/stream')
export class StreamController {
  constructor(
    private readonly feed: StreamFeed,
    private readonly snapshots: Snapshots,
    private readonly ranges: Ranges,
    private readonly evidence: Evidence,
  ) {}

  /** Waits until there is something to tell. */
  @Get()
  @AccessToListen('enforcement_point')
  @ZodResponse({ status: 200, type: StreamPageDto })
  async listen(@Caller() caller: Principal, @Query() query: StreamQueryDto): Promise<StreamPage> {
    const after = query.after === undefined ? undefined : parsePosition(query.after);
    if (after === null)
      throw new ProblemError('bad_request', 'after: a place in the stream, such as 1.17.');
    const waitMs = readWait(query.wait, {
      usualMs: STREAM_WAIT_MAX_MS,
      mostMs: STREAM_WAIT_MAX_MS,
    });
    return this.feed.ask(caller.tenant, caller.id, { after, heard: query.heard, waitMs });
  }

  @Get('snapshot')
  @Access('enforcement_point')
  @ApiProduces(SNAPSHOT_CONTENT_TYPE)
  @ApiOkResponse(SNAPSHOT_BODY)
  async snapshot(@Caller() caller: Principal, @Query() query: SnapshotQueryDto) {
    return this.take(caller, query.request);
  }

  /** The same, with the signed request as the body. */
  @Post('snapshot')
  @HttpCode(200)
  @Access('enforcement_point')
  @ApiProduces(SNAPSHOT_CONTENT_TYPE)
  @ApiOkResponse(SNAPSHOT_BODY)
  @ApiBody({
    description: 'A snapshot request',
    schema: { type: 'string', format: JWS_CONTENT_TYPE },
  })
  async snapshotFor(@Caller() caller: Principal, @Body() body: unknown) {
    return this.take(caller, readJws(body));
  }

  @Post('range')
  @HttpCode(200)
  @AccessToListen('enforcement_point')
  @ZodResponse({ status: 200, type: RangeReplyDto })
  async range(@Caller() caller: Principal, @Body() asked: RangeRequestDto): Promise<RangeReply> {
    return this.ranges.read(caller.tenant, asked);
  }

  /** What the control plane itself has signed, shown to a database that may have forgotten it. */
  @Post('evidence')
  @HttpCode(200)
  @Access('enforcement_point')
  @ApiBody({ description: 'Evidence', schema: { type: 'string', format: JWS_CONTENT_TYPE } })
  @ZodResponse({ status: 200, type: EvidenceReplyDto })
  async show(@Caller() caller: Principal, @Body() body: unknown): Promise<EvidenceReply> {
    const from = { tenant: caller.tenant, ep: caller.id };
    const reply = await this.evidence.take(from, readJws(body));
    if (reply !== null) return reply;
    throw new ProblemError('bad_request', 'Not signed by this enforcement point.');
  }

  private async take(caller: Principal, request: string): Promise<StreamableFile> {
    const taken = await this.snapshots.take({ tenant: caller.tenant, ep: caller.id }, request);
    if (taken.refused === null)
      return new StreamableFile(Readable.from(lines(taken.manifest, taken.chunks)), {
        type: SNAPSHOT_CONTENT_TYPE,
      });
    const { refused: refusal, detail } = taken;
    if (refusal === 'enforcement_point_revoked')
      throw new ProblemError(refusal, 'This enforcement point has been revoked.', {
        terminal: true,
      });
    throw new ProblemError(refusal === 'bad_request' ? refusal : 'forbidden', detail, { refusal });
  }
}

/** Chunks hold no line break of their own. A slow reader keeps nothing in memory but the snapshot that all share. */
function* lines(manifest: string, chunks: readonly Buffer[]): Generator<Buffer> {
  yield Buffer.from(`${manifest}\n`);
  for (const chunk of chunks) {
    yield chunk;
    yield NEWLINE;
  }
}

const NEWLINE = Buffer.from('\n');
