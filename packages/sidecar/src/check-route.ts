import { CheckRequest, isScope, ProblemError, type CheckReply } from '@sever/protocol';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Recorder } from './calls/call-log';
import { recordDecision } from './calls/record-decision';
import type { CallContext, Decision, Enforcer } from './enforcer';
import { parseStrictJson } from './json/strict-json';
import type { Metrics } from './metrics';

/** Whether calls of this tool are strict by themselves, and whether they are only observed. */
export type ModeOf = (tool: string | undefined) => Pick<CallContext, 'mode' | 'policy'>;

/** A token of the longest accepted length, a tool, a scope, and room for JSON around them. */
const BODY_BYTES = 32 * 1_024;

/** `POST /check`: the decision alone, for whoever does the call itself. Every denial is a 403. */
export function registerCheck(
  app: FastifyInstance,
  enforcer: Enforcer,
  metrics: Metrics,
  modeOf: ModeOf = () => ({}),
  recorder: Recorder = enforcer,
): void {
  // The decision must be about the token and the tool that whoever reads this body next also sees.
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser<Buffer>(
    'application/json',
    { parseAs: 'buffer' },
    async (_: FastifyRequest, body: Buffer) => parseStrictJson(body),
  );
  app.post('/check', { bodyLimit: BODY_BYTES }, async (request, reply) => {
    const { token, tool, scope } = parse(request.body);
    const startedAt = enforcer.now();
    const context = { tool, scope, ...modeOf(tool) };
    const decision = await enforcer.check(token, context);
    metrics.decided(decision);
    recordDecision(recorder, decision, {
      context,
      startedAt,
      headers: request.raw.headersDistinct,
    });
    return reply.code(decision.decision === 'allow' ? 200 : 403).send(replyOf(decision));
  });
}

function parse(body: unknown): CheckRequest {
  const parsed = CheckRequest.safeParse(body);
  if (!parsed.success) {
    const faults = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
    throw new ProblemError('bad_request', faults.join('; '));
  }
  const { tool, scope } = parsed.data;
  if (tool !== undefined && !/^[a-z0-9-]{1,32}\/./.test(tool)) {
    throw new ProblemError('bad_request', 'tool: is written <upstream>/<name>');
  }
  if (scope !== undefined && !isScope(scope)) {
    throw new ProblemError('bad_request', 'scope: is written tool:<upstream>/<name>');
  }
  return parsed.data;
}

function replyOf(decision: Decision): CheckReply {
  if (decision.decision === 'allow') {
    const { stale, wouldDeny } = decision;
    return { decision: 'allow', stale, ...(wouldDeny !== undefined && { would_deny: wouldDeny }) };
  }
  const { code, reason, killId, terminal, stale } = decision;
  return {
    decision: 'deny',
    code,
    reason,
    ...(killId === undefined ? {} : { kill_id: killId }),
    ...(terminal === undefined ? {} : { terminal }),
    stale,
  };
}
