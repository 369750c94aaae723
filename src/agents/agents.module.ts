import { Global, Module } from '@nestjs/common';
import { AgentEvents } from './agent-events';
import { AgentStore } from './agent.store';
import { AgentsController } from './agents.controller';
import { SpawnAgent } from './spawn-agent';

@Global()
@Module({
  controllers: [AgentsController],
  providers: [AgentEvents, AgentStore, SpawnAgent],
  exports: [AgentEvents, AgentStore],
})
export class AgentsModule {}
