import type { CallContext, Decision } from '@sever/enforcement';
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
    decision: decision.decision,
    ...(decision.decision === 'allow'
      ? { outcome: 'decided' }
      : { outcome: 'refused', code: decision.code, killId: decision.killId }),
  });
}
