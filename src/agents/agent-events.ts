import { EventEmitter } from 'node:events';
import { Injectable } from '@nestjs/common';
import type { Agent } from '@sever/protocol';

/** Tells consoles of births and ends. Nothing that decides listens here. */
@Injectable()
export class AgentEvents {
  private readonly emitter = new EventEmitter();

  changed(tenant: string, agent: Agent): void {
    this.emitter.emit('changed', tenant, agent);
  }

  onChanged(listener: (tenant: string, agent: Agent) => void): void {
    this.emitter.on('changed', listener);
  }
}
