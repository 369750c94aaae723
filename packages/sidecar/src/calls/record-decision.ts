import { recordCall, type CallContext, type Decision, type SeenCall } from '@sever/enforcement';
import type { Enforcer } from '../enforcer';
import { givenTrace } from './trace-context';

/** What is known of a call that somebody else carries out. */
export interface DecidedCall {
  readonly context: CallContext;
  /** `Enforcer.now()` when it was asked. */
  readonly startedAt: number;
  readonly headers: Readonly<Record<string, string[] | undefined>>;
}

/** Records a decision about a call; a look at a token alone is none. */
export function recordDecision(
  enforcer: Pick<Enforcer, 'record' | 'now'>,
  decision: Decision,
  { context, startedAt, headers }: DecidedCall,
): void {
  const trace = givenTrace(headers);
  recordCall(enforcer, {
    ...{ decision, context, startedAt },
    outcome: decision.decision === 'allow' ? 'decided' : 'refused',
    more: {
      ...{ traceId: trace?.traceId, spanId: trace?.spanId },
      ...(decision.caller?.agentId === '' && saidOfItself(headers)),
    },
  });
}

/** Where the proxy says that a caller is which nobody knows, and what program it says it is. Nobody vouches for either. */
function saidOfItself(headers: DecidedCall['headers']): Partial<SeenCall> {
  const from = headers['x-forwarded-for']?.at(-1)?.split(',').at(-1)?.trim();
  return { remoteAddress: from, userAgent: headers['user-agent']?.[0] };
}
