import { Body, Controller, Get, Headers, Param, Post, Query } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import {
  Agent,
  AgentList,
  AgentQuery,
  AgentTree,
  ListQuery,
  ProblemError,
  SpawnReply,
  SpawnRequest,
} from '@sever/protocol';
import { createZodDto, ZodResponse } from 'nestjs-zod';
import { Cursors } from '../access/cursors';
import { IdPipe } from '../access/id.pipe';
import { Access, AccessForAuthority, Caller, READERS } from '../access/policy';
import type { AgentPrincipal, KeyPrincipal, Principal } from '../access/principal';
import { AgentEvents } from './agent-events';
import { AgentStore } from './agent.store';
import { toAgent } from './agent-view';
import { sightOf } from './sight';
import { traceIdOf } from './trace-id';
import { SpawnAgent } from './spawn-agent';

class SpawnRequestDto extends createZodDto(SpawnRequest) {}
class SpawnReplyDto extends createZodDto(SpawnReply) {}
class AgentQueryDto extends createZodDto(AgentQuery) {}
class TreeQueryDto extends createZodDto(ListQuery) {}
class AgentDto extends createZodDto(Agent) {}
class AgentListDto extends createZodDto(AgentList) {}
class AgentTreeDto extends createZodDto(AgentTree) {}

@ApiTags('agents')
@Controller('v1/agents')
export class AgentsController {
  constructor(
    private readonly agents: SpawnAgent,
    private readonly store: AgentStore,
    private readonly events: AgentEvents,
    private readonly cursors: Cursors,
  ) {}

  @Post()
  @AccessForAuthority('service', 'admin', 'agent')
  @ZodResponse({ status: 201, type: SpawnReplyDto })
  async spawn(
    @Caller() by: KeyPrincipal | AgentPrincipal,
    @Body() body: SpawnRequestDto,
    @Headers('traceparent') traceparent: string | undefined,
  ) {
    const reply = await this.agents.spawn(by, body, traceIdOf(traceparent));
    this.events.changed(by.tenant, reply.agent);
    return reply;
  }

  @Get()
  @Access(...READERS, 'service', 'agent')
  @ZodResponse({ type: AgentListDto })
  async list(@Caller() by: Principal, @Query() query: AgentQueryDto) {
    const place = { tenant: by.tenant, list: 'agents' };
    const after = this.cursors.read(place, query.cursor);
    const rows = await this.store.list(by.tenant, query, sightOf(by), after);
    return this.cursors.page(place, rows.map(toAgent), query.limit, (last) => last.id);
  }

  @Get(':id')
  @Access(...READERS, 'service', 'agent')
  @ZodResponse({ type: AgentDto })
  async get(@Caller() by: Principal, @Param('id', new IdPipe('agent')) id: string) {
    return this.visible(by, id);
  }

  @Get(':id/tree')
  @Access(...READERS, 'service', 'agent')
  @ZodResponse({ type: AgentTreeDto })
  async tree(
    @Caller() by: Principal,
    @Param('id', new IdPipe('agent')) id: string,
    @Query() query: TreeQueryDto,
  ) {
    await this.visible(by, id);
    const place = { tenant: by.tenant, list: `tree of ${id}` };
    const offset = this.cursors.readOffset(place, query.cursor);
    const rows = await this.store.tree(by.tenant, id, query.limit + 1, offset);
    const next = (): string => String(offset + query.limit);
    return this.cursors.page(place, rows.map(toAgent), query.limit, next);
  }

  private async visible(by: Principal, id: string): Promise<Agent> {
    const row = await this.store.find(by.tenant, id, sightOf(by));
    if (!row) throw new ProblemError('not_found', `There is no agent ${id}.`);
    return toAgent(row);
  }
}
