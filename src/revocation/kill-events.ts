import { EventEmitter } from 'node:events';
import { Injectable } from '@nestjs/common';

/** Tells consoles that a kill's record has changed. Nothing that decides listens here. */
@Injectable()
export class KillEvents {
  private readonly emitter = new EventEmitter();

  changed(tenant: string, killId: string): void {
    this.emitter.emit('changed', tenant, killId);
  }

  onChanged(listener: (tenant: string, killId: string) => void): void {
    this.emitter.on('changed', listener);
  }
}
