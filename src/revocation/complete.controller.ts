import { Controller, HttpCode, Param, Post } from '@nestjs/common';
import { ApiTags } from '@nestjs/swagger';
import { CompleteReply, CompleteTaskReply, ProblemError } from '@sever/protocol';
import { createZodDto, ZodResponse } from 'nestjs-zod';
import { IdPipe } from '../access/id.pipe';
import { Access, Caller } from '../access/policy';
import type { AgentPrincipal, KeyPrincipal } from '../access/principal';
import { AgentEvents } from '../agents/agent-events';
import { AgentStore } from '../agents/agent.store';
import { toAgent } from '../agents/agent-view';
import { CompleteSubject } from './complete';

class CompleteReplyDto extends createZodDto(CompleteReply) {}
class CompleteTaskReplyDto extends createZodDto(CompleteTaskReply) {}

@ApiTags('agents')
@Controller('v1')
export class CompleteController {
  constructor(
    private readonly completions: CompleteSubject,
    private readonly agents: AgentStore,
    private readonly events: AgentEvents,
  ) {}

  @Post('agents/:id/complete')
  @HttpCode(200)
  @Access('service', 'agent')
  @ZodResponse({ status: 200, type: CompleteReplyDto })
  async completeAgent(
    @Caller() by: KeyPrincipal | AgentPrincipal,
    @Param('id', new IdPipe('agent')) id: string,
  ) {
    await this.completions.complete(by, 'agent', id);
    const row = await this.agents.find(by.tenant, id, { all: true });
    if (!row) throw new ProblemError('not_found', `There is no agent ${id}.`);
    const agent = toAgent(row);
    this.events.changed(by.tenant, agent);
    return { agent };
  }

  @Post('tasks/:id/complete')
  @HttpCode(200)
  @Access('service', 'agent')
  @ZodResponse({ status: 200, type: CompleteTaskReplyDto })
  async completeTask(
    @Caller() by: KeyPrincipal | AgentPrincipal,
    @Param('id', new IdPipe('task')) id: string,
  ) {
    await this.completions.complete(by, 'task', id);
    return { task: await this.agents.task(by.tenant, id) };
  }
}
