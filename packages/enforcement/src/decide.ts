import { covers, toolScope, type Act, type Denial, type DenialView } from '@sever/protocol';
import type { Standing } from './machine-events';
import type { Allowed, CallContext, Decision, Denied, DenyCode } from './types';
import type { VerifiedToken } from './verified-token';

/** Fixed phrases: what the operator wrote stays in the control plane. */
const REASONS: Record<DenyCode, string> = {
  invalid_token: 'The token is missing, malformed, expired or not for this place.',
  agent_revoked: 'This agent has been stopped for good. A new login will not help.',
  agent_suspended: 'This agent is suspended until an operator lifts it.',
  tool_suspended: 'This tool is suspended until an operator lifts it.',
  enforcement_stale:
    'This enforcement point cannot confirm that the agent may act. Try again later.',
  insufficient_scope: 'The token does not hold the scope that this call takes.',
};

/** What standing orders say about a call, beside its token's validity. */
export interface StandingDenial {
  readonly code: 'agent_revoked' | 'agent_suspended' | 'tool_suspended';
  readonly denial: Denial;
}

export function refusal(code: DenyCode, stale: boolean, denial?: Denial): Denied {
  return {
    decision: 'deny',
    code,
    reason: REASONS[code],
    ...(denial && { killId: denial.killId, terminal: denial.terminal }),
    stale,
  };
}

/**
 * The decision about one call, in the order that the protocol fixes: token, then kills and suspensions (which hold
 * without a lease too), then the lease at this moment, then the scope. `verified` is `null` for a bad token, or under
 * `policy: observe` what stands for a caller without one.
 */
export function decide(
  verified: VerifiedToken | null,
  context: CallContext,
  view: DenialView,
  standing: Standing,
): Decision {
  const stale = standing !== 'fresh';
  if (verified === null) return refusal('invalid_token', stale);
  const refused = refusalOf(verified, context, view, standing);
  if (refused?.code === 'insufficient_scope' && context.policy === 'observe')
    return { wouldDeny: refused.code, ...allowed(verified, stale) };
  // Who was refused, for the record of the call.
  return refused === null ? allowed(verified, stale) : { ...refused, caller: verified.caller };
}

function refusalOf(
  verified: VerifiedToken,
  context: CallContext,
  view: DenialView,
  standing: Standing,
): Denied | null {
  const stale = standing !== 'fresh';
  const stopped = standingDenial(verified, context, view);
  if (stopped !== null) return refusal(stopped.code, stale, stopped.denial);
  const mayBeStale = standing === 'stale' && context.mode !== 'strict';
  if (stale && !mayBeStale) return refusal('enforcement_stale', true);
  if (!holdsScope(verified.scopes, context)) return refusal('insufficient_scope', stale);
  return null;
}

function allowed(verified: VerifiedToken, stale: boolean): Allowed {
  return stale ? verified.allowedStale : verified.allowed;
}

/** Kills and suspensions that stand against a call; `null` when none does. */
export function standingDenial(
  verified: VerifiedToken,
  context: CallContext,
  view: DenialView,
): StandingDenial | null {
  if (verified.seenVersion !== view.version) {
    verified.denial = view.denial(verified.lineage);
    verified.isNarrowed = view.isNarrowed(verified.lineage);
    verified.seenVersion = view.version;
  }
  // Whether a narrow suspension takes this call cannot be remembered: the next call may be another.
  const denial =
    verified.denial ?? (verified.isNarrowed ? view.denial(verified.lineage, actOf(context)) : null);
  if (denial !== null)
    return { code: denial.terminal ? 'agent_revoked' : 'agent_suspended', denial };
  const boundary = boundaryDenial(context, view);
  return boundary === null ? null : { code: 'tool_suspended', denial: boundary };
}

/** What cuts a call that runs already: as `standingDenial`, without the orders that let it drain. */
export function standingCut(
  { lineage }: VerifiedToken,
  context: CallContext,
  view: DenialView,
): StandingDenial | null {
  const act = actOf(context);
  const denial = view.cut(lineage, act);
  if (denial !== null)
    return { code: denial.terminal ? 'agent_revoked' : 'agent_suspended', denial };
  for (const subject of boundarySubjects(context)) {
    const boundary = view.cutBySuspension(subject, act);
    if (boundary !== null) return { code: 'tool_suspended', denial: boundary };
  }
  return null;
}

function boundaryDenial(context: CallContext, view: DenialView): Denial | null {
  if (view.suspensionCount === 0 && view.emergencyCount === 0) return null;
  const act = actOf(context);
  for (const subject of boundarySubjects(context)) {
    const denial = view.suspensionOf(subject, act);
    if (denial !== null) return denial;
  }
  return null;
}

/**
 * What the call does, for orders that take some calls and leave others; `undefined` for a look at the token alone. What is
 * not said to be a read is a write; of HTTP methods GET and HEAD are reads (RFC 9110 §9.2.1).
 */
export function actOf({ tool, scope, effect }: CallContext): Act | undefined {
  if (tool !== undefined) return { name: tool, effect: effect ?? 'write' };
  if (scope === undefined) return undefined;
  const http = /^http:([A-Z]+):(.*)$/s.exec(scope);
  if (http === null) return { name: scope.slice('tool:'.length), effect: effect ?? 'write' };
  const [, method, name = ''] = http;
  return { name, effect: effect ?? (method === 'GET' || method === 'HEAD' ? 'read' : 'write') };
}

/** The tool and its upstream, as far as the call names them. */
export function boundarySubjects(context: CallContext): string[] {
  const upstream = upstreamOf(context);
  return [
    ...(context.tool === undefined ? [] : [`tool:${context.tool}`]),
    ...(upstream === undefined ? [] : [`upstream:${upstream}`]),
  ];
}

/** The upstream that a call goes to, if it names one. */
export function upstreamOf({ tool, upstream }: CallContext): string | undefined {
  if (upstream !== undefined || tool === undefined) return upstream;
  const slash = tool.indexOf('/');
  return slash < 0 ? tool : tool.slice(0, slash);
}

function holdsScope(held: readonly string[], { scope, tool }: CallContext): boolean {
  const asked = scope ?? (tool === undefined ? undefined : toolScope(tool));
  if (asked === undefined) return true;
  for (const one of held) if (covers(one, asked)) return true;
  return false;
}
