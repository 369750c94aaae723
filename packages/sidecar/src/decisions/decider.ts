import {
  NO_TOKEN,
  refusal,
  refusalOf,
  type Admission,
  type CallContext,
  type Refusal,
} from '@sever/enforcement';
import { problem, ProblemError, type Problem } from '@sever/protocol';
import type { Recorder } from '../calls/call-log';
import { recordDecision } from '../calls/record-decision';
import type { Enforcer } from '../enforcer';
import { agentToken } from '../http/agent-token';
import { contextOf, METHOD } from '../http/call-context';
import { readTarget } from '../http/request-target';
import type { Metrics } from '../metrics';
import { carries, withheldFrom } from '../relay/withheld';
import { STOPPING } from '../stopping';
import type { Upstream } from '../sidecar-file';
import type { OriginalRequest } from './original-request';

const DEFAULT_BOUND_MS = 60_000;

export interface DeciderParts {
  readonly enforcer: Enforcer;
  /** Default the enforcer. */
  readonly recorder?: Recorder | undefined;
  readonly metrics: Metrics;
  readonly isStopping: () => boolean;
}

export interface Verdict {
  readonly refusal: Refusal | null;
  /** Headers that go with the answer either way. */
  readonly headers: Readonly<Record<string, string>>;
  /** For the upstream, once it is let through: who calls. */
  readonly identity: Readonly<Record<string, string>>;
  /** Headers of the request that must not reach the upstream: where agents' tokens may stand. */
  readonly remove: readonly string[];
}

/**
 * Decides requests that another proxy carries out. A call that is let through is out of reach from then on: for as long as
 * the proxy lets a call last at most, a kill counts it as uncontrolled.
 */
export class Decider {
  constructor(private readonly parts: DeciderParts) {}

  /** Never rejects: whatever cannot be decided is refused. */
  async decide(upstream: Upstream, request: OriginalRequest): Promise<Verdict> {
    try {
      return this.verdict(upstream, request, await this.admit(upstream, request));
    } catch (error) {
      if (error instanceof ProblemError) return this.refused(error.toProblem());
      return this.refused(problem('internal', 'The sidecar failed; its log says why'));
    }
  }

  /** What is answered to a question about an upstream that is not decided about here. */
  refused(of: Problem): Verdict {
    return this.said(refusal(of));
  }

  private async admit(upstream: Upstream, request: OriginalRequest): Promise<Admission> {
    const { enforcer, recorder = enforcer, metrics, isStopping } = this.parts;
    const startedAt = enforcer.now();
    if (isStopping()) throw new ProblemError('unavailable', STOPPING.detail);
    const token = tokenIn(upstream, request);
    const context = contextAsked(upstream, request, token);
    const admission =
      token === '' && upstream.policy !== 'observe'
        ? NO_TOKEN
        : await enforcer.admit(token, context, 'let_through');
    metrics.decided(admission);
    const { headers } = request;
    recordDecision(recorder, admission, { context, startedAt, headers });
    if (admission.decision === 'allow') {
      const { call } = admission;
      setTimeout(() => call.finish(), upstream.maxStreamMs ?? DEFAULT_BOUND_MS).unref();
    }
    return admission;
  }

  private verdict(upstream: Upstream, request: OriginalRequest, admission: Admission): Verdict {
    if (admission.decision === 'deny') return this.said(refusalOf(admission));
    const { caller, stale } = admission;
    const said = this.said(null);
    return {
      ...said,
      headers: { ...said.headers, ...(stale && { 'sever-stale': 'true' }) },
      identity: {
        // Said in any case, so that nobody says it of himself.
        'sever-agent': caller.agentId || 'unknown',
        'sever-initiator': caller.initiatorId || 'unknown',
        'sever-credential': caller.credentialId || 'unknown',
      },
      remove: leavesToken(upstream, request) ? [] : tokenHeaders(upstream),
    };
  }

  /** The place in the stream that the answer was given at: whoever keeps an answer must drop it when that moves. */
  private said(refused: Refusal | null): Verdict {
    const { epoch, applied } = this.parts.enforcer.state();
    return {
      refusal: refused,
      headers: {
        'sever-epoch': `${epoch}.${applied}`,
        'cache-control': 'no-store',
        ...(refused && { ...refused.headers, 'sever-code': refused.problem.code }),
      },
      identity: {},
      remove: [],
    };
  }
}

function tokenHeaders({ tokenFrom }: Upstream) {
  return tokenFrom ?? (['authorization'] as const);
}

/** Empty: none, or several. */
function tokenIn(upstream: Upstream, { headers }: OriginalRequest): string {
  return agentToken({ headersDistinct: headers }, tokenHeaders(upstream)) ?? '';
}

/** Only observed, and with nothing of ours in it: the upstream takes from its callers what it has always taken. */
function leavesToken(upstream: Upstream, request: OriginalRequest): boolean {
  const given = tokenHeaders(upstream).flatMap((name) => request.headers[name] ?? []);
  const withheld = withheldFrom(upstream, tokenIn(upstream, request));
  return (
    withheld === '' && upstream.policy === 'observe' && !given.some((value) => carries(value, ''))
  );
}

function contextAsked(
  upstream: Upstream,
  { method, target }: OriginalRequest,
  token: string,
): CallContext {
  if (!METHOD.test(method)) {
    throw new ProblemError('method_not_allowed', 'The method is none that is passed on');
  }
  if (carries(target, withheldFrom(upstream, token))) {
    throw new ProblemError('bad_request', 'A token has no place in a URL; send it as a header');
  }
  const { path } = readTarget(`/${upstream.name}${target}`, upstream.name);
  return contextOf(upstream, method, path);
}
