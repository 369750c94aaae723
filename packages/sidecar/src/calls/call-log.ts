import type { SeenCall } from '@sever/enforcement';
import type { Enforcer } from '../enforcer';
import type { Ungoverned } from './ungoverned';

/** Where calls are recorded once they are over. */
export type Recorder = Pick<Enforcer, 'record' | 'now'>;

/** Records calls, and counts those that only an observing policy has let through. */
export class CallLog implements Recorder {
  constructor(
    private readonly enforcer: Recorder,
    private readonly ungoverned: Pick<Ungoverned, 'note'>,
  ) {}

  record(call: SeenCall): void {
    this.ungoverned.note(call);
    this.enforcer.record(call);
  }

  now(): number {
    return this.enforcer.now();
  }
}
