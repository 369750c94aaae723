import { Injectable } from '@nestjs/common';
import type { DrillResult } from '@sever/cli';
import { Subject } from 'rxjs';

export type { DrillResult };

/** Drills as they end, for metrics and alarms. */
@Injectable()
export class DrillEvents {
  readonly ended = new Subject<{
    readonly tenant: string;
    readonly drillId: string;
    /** `null`: it could not be carried out. */
    readonly result: DrillResult | null;
  }>();
}
