import type { Logger } from '@sever/enforcement';
import { MAX_HALT_BYTES, problem, type HaltReply } from '@sever/protocol';
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Enforcer, HaltOutcome } from './enforcer';
import { FailureGate } from './failure-gate';
import type { Metrics } from './metrics';
import { sendProblem } from './problem-reply';

type HaltTaken = Extract<HaltOutcome, { killId: string }>;

/** Unsigned orders from one address, before it has to wait; a signed one is never turned away for those of others. */
const GATE = { failures: 10, windowMs: 10_000 };

const REFUSALS = {
  not_signed: ['bad_proof', 'This is not a halt signed by a halt key of this tenant that is alive'],
  expired: ['unprocessable', 'This halt is past its not_after; sign a new one'],
  over: [
    'unprocessable',
    'The control plane has committed or lifted this halt; sign a new one, or kill again',
  ],
} as const;

/**
 * `POST /halt`: a kill order that needs no control plane. The body is the order as `sever halt sign` made it; its
 * signature is all the authentication there is, so whoever holds the file may bring it.
 */
export function registerHalt(
  app: FastifyInstance,
  { enforcer, metrics, logger }: { enforcer: Enforcer; metrics: Metrics; logger: Logger },
): void {
  const gate = new FailureGate({ ...GATE, now: () => performance.now() });
  void app.register(async (scope) => {
    scope.removeAllContentTypeParsers();
    // Whatever the sender calls it: in an emergency nobody looks up a content type.
    scope.addContentTypeParser(
      '*',
      { parseAs: 'string' },
      async (_: unknown, body: string) => body,
    );
    scope.post('/halt', { bodyLimit: MAX_HALT_BYTES }, async (request, reply) => {
      const wait = gate.waitMs(request.ip);
      if (wait > 0) return tooMany(reply, wait);
      const body = typeof request.body === 'string' ? request.body : '';
      const outcome = await enforcer.halt(body);
      metrics.halted(outcome.outcome === 'refused' ? outcome.why : outcome.outcome);
      if (outcome.outcome !== 'refused') return reply.code(200).send(replyOf(outcome));
      logger.warn({ from: request.ip, why: outcome.why }, 'a halt was refused');
      if (outcome.why === 'not_signed') gate.failed(request.ip);
      const [code, detail] = REFUSALS[outcome.why];
      return sendProblem(reply, problem(code, detail));
    });
  });
}

function replyOf({ outcome, killId, kept }: HaltTaken): HaltReply {
  return { kill_id: killId, state: outcome, kept };
}

function tooMany(reply: FastifyReply, waitMs: number): FastifyReply {
  void reply.header('retry-after', String(Math.ceil(waitMs / 1_000)));
  return sendProblem(
    reply,
    problem('rate_limited', 'Too many orders without a good signature came from this address'),
  );
}
