import type { CallOutcome } from '@sever/protocol';
import type { CallContext, Decision, Denied } from '../types';
import type { SeenCall } from './seen-call';

export interface EndedCall {
  readonly decision: Decision;
  readonly context: CallContext;
  /** `EnforcementPoint.now()` when it began. */
  readonly startedAt: number;
  readonly outcome: CallOutcome;
  /** What cut it after it had been allowed. */
  readonly cut?: Denied | undefined;
  readonly status?: number | undefined;
  /** What else was seen of it; it goes before what is read out of the context. */
  readonly more?: Partial<SeenCall> | undefined;
}

/** Records a call of whoever is known; a look at a token alone is none. */
export function recordCall(
  point: { record(call: SeenCall): void; now(): number },
  { decision, context, startedAt, outcome, cut, status, more }: EndedCall,
): void {
  const { caller } = decision;
  const { tool, scope, upstream } = context;
  if (caller === undefined || (tool ?? scope) === undefined) return;
  const denied = cut ?? (decision.decision === 'deny' ? decision : undefined);
  const wouldDeny = decision.decision === 'allow' ? decision.wouldDeny : undefined;
  const http = /^http:([A-Z]+):([^/]+)(\/.*)$/s.exec(scope ?? '');
  const named = tool ?? (http === null ? scope?.slice('tool:'.length) : undefined);
  point.record({
    ...{ caller, startedAt, durationMs: Math.max(0, point.now() - startedAt) },
    upstream: upstream ?? http?.[2] ?? named?.split('/', 1)[0],
    ...(named === undefined ? { method: http?.[1], path: http?.[3] } : { tool: named }),
    decision: wouldDeny === undefined ? decision.decision : 'would_deny',
    ...{ stale: decision.stale, outcome, status },
    ...{ code: denied?.code ?? wouldDeny, killId: denied?.killId },
    ...more,
  });
}
