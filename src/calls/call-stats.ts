import { Injectable } from '@nestjs/common';
import type { CALL_REFUSALS } from '@sever/protocol';
import { Counter, Gauge, type Registry } from 'prom-client';

export type CallRefusal = (typeof CALL_REFUSALS)[number];

/** What this replica has done with records of calls. */
@Injectable()
export class CallStats {
  /** New, known before, and too old or from the future. */
  readonly records = { stored: 0, known: 0, outside: 0 };
  /** Batches that were not taken, by why. */
  readonly refused: Record<CallRefusal, number> = {
    ...{ malformed: 0, too_large: 0, no_space: 0, busy: 0 },
  };
  /** There is too little space for more. */
  stopped = false;
  /** Bytes free beside the database; `null`: it cannot be measured from here. */
  free: number | null = null;

  register(registry: Registry): void {
    const { records, refused } = this;
    const isStopped = () => (this.stopped ? 1 : 0);
    const free = () => this.free ?? NaN;
    new Counter({
      name: 'sever_call_records_total',
      help: 'Records of calls that this replica was sent: stored, known before, or outside the time that is kept.',
      labelNames: ['outcome'],
      registers: [registry],
      collect() {
        this.reset();
        for (const [outcome, n] of Object.entries(records)) this.inc({ outcome }, n);
      },
    });
    new Counter({
      name: 'sever_call_batches_refused_total',
      help: 'Batches of records of calls that this replica did not take; busy and no_space come again.',
      labelNames: ['code'],
      registers: [registry],
      collect() {
        this.reset();
        for (const [code, n] of Object.entries(refused)) this.inc({ code }, n);
      },
    });
    new Gauge({
      name: 'sever_calls_stopped',
      help: '1 while no records of calls are taken, because there is too little space beside the database.',
      registers: [registry],
      collect() {
        this.set(isStopped());
      },
    });
    new Gauge({
      name: 'sever_calls_free_bytes',
      help: 'Bytes free beside the database, where they can be measured from here.',
      registers: [registry],
      collect() {
        this.set(free());
      },
    });
  }
}
