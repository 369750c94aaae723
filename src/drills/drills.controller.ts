import { Body, Controller, Delete, Get, HttpCode, Param, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import {
  CreateDrill,
  Drill,
  DrillList,
  DrillQuery,
  parseDuration,
  ProblemError,
} from '@sever/protocol';
import { createZodDto, ZodResponse } from 'nestjs-zod';
import { actorOf } from '../access/actor';
import { Cursors } from '../access/cursors';
import { IdPipe } from '../access/id.pipe';
import { Access, Caller, READERS } from '../access/policy';
import type { KeyPrincipal } from '../access/principal';
import { DrillStore, type DrillRow } from './drill.store';

class CreateDrillDto extends createZodDto(CreateDrill) {}
class DrillDto extends createZodDto(Drill) {}
class DrillQueryDto extends createZodDto(DrillQuery) {}
class DrillListDto extends createZodDto(DrillList) {}

const SHORTEST_MS = 10_000;
const LONGEST_MS = 7 * 86_400_000;
const BOUND_MS = 2_000;
const LONGEST_BOUND_MS = 60_000;

/** Kills of canaries on a schedule, so that kill-to-deny is measured before it is needed. */
@ApiTags('drills')
@Controller('v1/drills')
export class DrillsController {
  constructor(
    private readonly store: DrillStore,
    private readonly cursors: Cursors,
  ) {}

  @Post()
  @Access('admin')
  @ZodResponse({ status: 201, type: DrillDto })
  async create(@Caller() by: KeyPrincipal, @Body() asked: CreateDrillDto) {
    const terms = {
      via: [...new Set(asked.via.map((url) => url.replace(/\/+$/, '')))],
      every_ms: readTime('every', asked.every, SHORTEST_MS, LONGEST_MS),
      bound_ms:
        asked.bound === undefined ? BOUND_MS : readTime('bound', asked.bound, 1, LONGEST_BOUND_MS),
      quarantine: asked.quarantine ?? true,
    };
    return toDrill(await this.store.create(by.tenant, terms, actorOf(by)));
  }

  @Get()
  @Access(...READERS)
  @ZodResponse({ type: DrillListDto })
  async list(@Caller() by: KeyPrincipal, @Query() query: DrillQueryDto) {
    const place = { tenant: by.tenant, list: 'drills' };
    const after = this.cursors.read(place, query.cursor);
    const rows = await this.store.list(by.tenant, after, query.limit + 1);
    return this.cursors.page(place, rows.map(toDrill), query.limit, (last) => last.id);
  }

  @Delete(':id')
  @HttpCode(204)
  @Access('admin')
  async end(@Caller() by: KeyPrincipal, @Param('id', new IdPipe('drill')) id: string) {
    if (!(await this.store.end(by.tenant, id, actorOf(by))))
      throw new ProblemError('not_found', `There is no drill ${id}.`);
  }
}

function toDrill(row: DrillRow): Drill {
  return {
    id: row.id,
    via: row.via,
    every_ms: row.every_ms,
    bound_ms: row.bound_ms,
    quarantine: row.quarantine,
    created_at: row.created_at.toISOString(),
    next_at: row.next_at.toISOString(),
    last: row.last,
  };
}

/** @throws ProblemError */
function readTime(name: string, text: string, leastMs: number, mostMs: number): number {
  const ms = parseDuration(text);
  if (ms === null)
    throw new ProblemError(
      'bad_request',
      `${name}: a whole number and a unit, such as 30s, 15m or 24h.`,
    );
  if (ms < leastMs || ms > mostMs)
    throw new ProblemError(
      'unprocessable',
      `${name}: from ${leastMs / 1_000}s to ${mostMs / 1_000}s.`,
    );
  return ms;
}
