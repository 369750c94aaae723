import type { IncomingMessage } from 'node:http';
import { finished } from 'node:stream';
import {
  onCut,
  recordCall,
  type Admission,
  type CallContext,
  type Caller,
  type Denied,
  type EnforcementPoint,
  type RefusedError,
} from '@sever/enforcement';
import { Observable } from 'rxjs';
import type { RawHttp } from './raw-http';

type Admitted = Exclude<Admission, Denied>;

export interface GuardedCallParts extends RawHttp {
  readonly point: Pick<EnforcementPoint, 'record' | 'now'>;
  readonly admitted: Admitted;
  readonly context: CallContext;
  readonly startedAt: number;
}

const calls = new WeakMap<IncomingMessage, GuardedCall>();

/**
 * A request of an agent, from its admission until its response has ended and its handler has settled: only then is
 * nothing left of it that could go on.
 */
export class GuardedCall {
  private readonly stop = new AbortController();
  private readonly cutListeners = new Set<(refused: RefusedError) => void>();
  private running = 0;
  private isOver = false;
  private isEnded = false;
  private refused: RefusedError | undefined;

  constructor(private readonly parts: GuardedCallParts) {
    calls.set(parts.request, this);
    finished(parts.response, (error) => {
      this.isOver = true;
      if (error && !this.stop.signal.aborted) this.stop.abort(new Error('The agent has gone'));
      this.endWhenDone();
    });
    onCut(parts.admitted.call, (refused) => this.cut(refused));
  }

  static of(request: IncomingMessage): GuardedCall | undefined {
    return calls.get(request);
  }

  get caller(): Caller {
    return this.parts.admitted.caller;
  }

  /** Aborted when the call is cut, with a `RefusedError`, and when the agent has closed its connection. */
  get signal(): AbortSignal {
    return this.stop.signal;
  }

  /** The handler's work, which fails at once when the call is cut. */
  run<T>(work: Observable<T>): Observable<T> {
    return new Observable<T>((subscriber) => {
      const handler = this.handlerOf(work, {
        next: (value: T) => subscriber.next(value),
        error: (error: unknown) => subscriber.error(error),
        complete: () => subscriber.complete(),
      });
      const onCutNow = (refused: RefusedError): void => {
        subscriber.error(refused);
        handler.leave();
      };
      this.cutListeners.add(onCutNow);
      if (this.refused !== undefined) onCutNow(this.refused);
      return () => {
        this.cutListeners.delete(onCutNow);
        handler.leave();
      };
    });
  }

  /**
   * A stream of values is over once nobody listens to it; a promise goes on whether or not anybody does, and counts as
   * running until it has settled. Which of the two it is shows with its first value.
   */
  private handlerOf<T>(
    work: Observable<T>,
    to: { next: (value: T) => void; error: (error: unknown) => void; complete: () => void },
  ): { leave: () => void } {
    this.running += 1;
    let [isSettled, isStream, isLeft] = [false, false, false];
    const settle = (): void => {
      if (isSettled) return;
      isSettled = true;
      this.running -= 1;
      this.endWhenDone();
    };
    const end = (): void => {
      // Not before `subscribe` has returned: the first value may come within it.
      queueMicrotask(() => subscription.unsubscribe());
      settle();
    };
    const subscription = work.subscribe({
      next: (value) => {
        isStream = true;
        if (isLeft) end();
        else to.next(value);
      },
      error: (error: unknown) => {
        settle();
        to.error(error);
      },
      complete: () => {
        settle();
        to.complete();
      },
    });
    return {
      leave: () => {
        isLeft = true;
        if (isStream) end();
      },
    };
  }

  private cut(refused: RefusedError): void {
    const { response } = this.parts;
    this.refused = refused;
    // With the head already out, or nobody waiting to be refused, a closed socket is all that can be said.
    if (response.headersSent || (this.running === 0 && this.cutListeners.size === 0))
      response.destroy();
    this.stop.abort(refused);
    for (const listener of [...this.cutListeners]) listener(refused);
  }

  private endWhenDone(): void {
    if (this.isEnded || !this.isOver || this.running > 0) return;
    this.isEnded = true;
    const { admitted, point, context, startedAt, response } = this.parts;
    const isWhole = response.writableFinished;
    recordCall(point, {
      ...{ decision: admitted, context, startedAt, cut: this.refused?.denied },
      outcome: this.refused ? 'aborted' : isWhole ? 'completed' : 'abandoned',
      ...(response.headersSent && { status: response.statusCode }),
    });
    admitted.call.finish();
  }
}
