import {
  onCut,
  recordCall,
  type Admission,
  type CallContext,
  type Caller,
  type Denied,
  type RefusedError,
} from '@sever/enforcement';
import type { CallOutcome } from '@sever/protocol';
import type { Point } from './decider';

export interface AdmittedCall {
  readonly admission: Exclude<Admission, Denied>;
  readonly context: CallContext;
}

export interface RunningRequestParts {
  readonly point: Point;
  readonly token: string;
  readonly method: string;
  readonly startedAt: number;
  readonly admitted: readonly AdmittedCall[];
}

/** One request of an agent, from its admission until it is answered, or its handler has settled after a cut. */
export class RunningRequest {
  cutBy: RefusedError | undefined;
  private isOver = false;

  constructor(private readonly parts: RunningRequestParts) {}

  get method(): string {
    return this.parts.method;
  }

  get token(): string {
    return this.parts.token;
  }

  get caller(): Caller {
    // Every request is admitted as something, if only as its agent's.
    return this.parts.admitted[0]!.admission.caller;
  }

  onCut(listener: (refused: RefusedError) => void): void {
    for (const { admission } of this.parts.admitted)
      onCut(admission.call, (refused) => {
        if (this.isOver || this.cutBy !== undefined) return;
        this.cutBy = refused;
        listener(refused);
      });
  }

  end(outcome: CallOutcome): void {
    if (this.isOver) return;
    this.isOver = true;
    const { point, startedAt, admitted } = this.parts;
    for (const { admission, context } of admitted) {
      const decision = admission;
      recordCall(point, { decision, context, startedAt, outcome, cut: this.cutBy?.denied });
      admission.call.finish();
    }
  }
}
