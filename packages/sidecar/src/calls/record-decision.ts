import type { CallContext, Decision, SeenCall } from '@sever/enforcement';
import type { Enforcer } from '../enforcer';
import { givenTrace } from './trace-context';

/** What is known of a call that somebody else carries out. */
export interface DecidedCall {
  readonly context: CallContext;
  /** `Enforcer.now()` when it was asked. */
  readonly startedAt: number;
  readonly headers: Readonly<Record<string, string[] | undefined>>;
  readonly method?: string | undefined;
  readonly path?: string | undefined;
}

/** Records a decision about a call; a look at a token alone is none. */
export function recordDecision(
  enforcer: Pick<Enforcer, 'record' | 'now'>,
  decision: Decision,
  { context, startedAt, headers, method, path }: DecidedCall,
): void {
  const { tool, scope, upstream } = context;
  const { caller } = decision;
  if (caller === undefined || (tool === undefined && scope === undefined)) return;
  const trace = givenTrace(headers);
  const http = /^http:([A-Z]+):([^/]+)(\/.*)$/s.exec(scope ?? '');
  const named = tool ?? (http === null ? scope?.slice('tool:'.length) : undefined);
  enforcer.record({
    ...{ caller, startedAt, durationMs: Math.max(0, enforcer.now() - startedAt) },
    upstream: upstream ?? http?.[2] ?? named?.split('/', 1)[0],
    ...(named === undefined
      ? { method: method ?? http?.[1], path: path ?? http?.[3] }
      : { tool: named }),
    ...{ traceId: trace?.traceId, spanId: trace?.spanId, stale: decision.stale },
    ...(caller.agentId === '' && saidOfItself(headers)),
    ...(decision.decision === 'allow'
      ? {
          decision: decision.wouldDeny === undefined ? 'allow' : 'would_deny',
          ...{ code: decision.wouldDeny, outcome: 'decided' },
        }
      : { decision: 'deny', outcome: 'refused', code: decision.code, killId: decision.killId }),
  });
}

/** Where the proxy says that a caller is which nobody knows, and what program it says it is. Nobody vouches for either. */
function saidOfItself(headers: DecidedCall['headers']): Partial<SeenCall> {
  const from = headers['x-forwarded-for']?.at(-1)?.split(',').at(-1)?.trim();
  return { remoteAddress: from, userAgent: headers['user-agent']?.[0] };
}
