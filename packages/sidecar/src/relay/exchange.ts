import type { IncomingMessage, ServerResponse } from 'node:http';
import {
  bearerToken,
  NO_TOKEN,
  refusal,
  refusalOf,
  RefusedError,
  type Admission,
  type CallContext,
  type Denied,
  type InFlightCall,
  type Logger,
  type Refusal,
} from '@sever/enforcement';
import { problem, ProblemError } from '@sever/protocol';
import type { Dispatcher } from 'undici';
import type { Recorder } from '../calls/call-log';
import { CallNote } from '../calls/call-note';
import type { Enforcer } from '../enforcer';
import type { Metrics } from '../metrics';
import { STOPPING } from '../stopping';
import type { CallRecording, UrlUpstream } from '../sidecar-file';
import { AgentResponse, type ResponseLimits } from './agent-response';
import { challenge } from './challenge';
import type { HoldGate } from './hold-gate';
import type { RefusalForm } from './refusal-form';
import { bytesOf } from './upstream-request';

export interface ExchangeLimits extends ResponseLimits {
  /** The longest message that an agent may send where a body is read before it is handed on. */
  readonly bodyBytes: number;
}

export interface ExchangeParts {
  readonly enforcer: Enforcer;
  readonly metrics: Metrics;
  readonly dispatcher: Dispatcher;
  readonly limits: ExchangeLimits;
  readonly logger: Logger;
  /** Who takes the record of the call; default the enforcer. */
  readonly recorder?: Recorder | undefined;
  /** What records keep of arguments; default their digest. */
  readonly records?: CallRecording | undefined;
}

/** Why an exchange ends before its time, other than by a revocation. */
class AgentGone extends Error {}
class SidecarStops extends Error {}

export type Admitted = Exclude<Admission, Denied>;

/**
 * One HTTP exchange of an agent with an upstream, in flight from the moment its token was accepted.
 *
 * Everything that ends it early aborts one signal. The abort closes the upstream's socket in the same turn, and no byte
 * is sent to the agent after it but the refusal; only then is the call reported as finished. What the exchange says, and
 * in what form, is its protocol's.
 */
export abstract class Exchange {
  protected readonly agent: AgentResponse;
  protected readonly note: CallNote;
  private readonly stop = new AbortController();
  private readonly calls = new Set<InFlightCall>();
  /** What was decided upon last. */
  private asked: CallContext | undefined;

  constructor(
    protected readonly upstream: UrlUpstream,
    protected readonly request: IncomingMessage,
    response: ServerResponse,
    protected readonly parts: ExchangeParts,
  ) {
    this.agent = new AgentResponse(request, response, parts.limits, this.form());
    const { enforcer, recorder = enforcer, records } = parts;
    this.note = new CallNote(recorder, upstream.name, request, records);
    response.once('close', () => this.stop.abort(new AgentGone()));
  }

  /** A stream that waits for whatever the server says next: it never ends by itself. */
  abstract get isListening(): boolean;

  /** Never rejects: every failure ends in an answer or a closed socket. */
  async run(): Promise<void> {
    try {
      this.signal.throwIfAborted();
      const token = this.token();
      if (token === undefined && this.upstream.policy !== 'observe')
        throw await this.refused(NO_TOKEN);
      await this.relay(token ?? '');
      this.note.ended({ outcome: 'completed' });
    } catch (error) {
      await this.endEarly(this.signal.aborted ? this.signal.reason : error);
    } finally {
      // Whatever is left of the upstream's side is closed before the call counts as over.
      this.stop.abort(new AgentGone());
      for (const call of this.calls) call.finish();
    }
  }

  /** The sidecar is stopping. */
  end(): void {
    this.stop.abort(new SidecarStops());
  }

  /** The one token that the request carries, if it carries one. */
  protected token(): string | undefined {
    return bearerToken(this.request);
  }

  /** How refusals read; it is asked before the constructor of a subclass has run. */
  protected abstract form(): RefusalForm;

  /**
   * Decides, sends and hands on; what it throws becomes the refusal.
   *
   * @param token empty where the policy observes and there is none
   */
  protected abstract relay(token: string): Promise<void>;

  /** A refusal is about to be answered: the last moment to learn what its form needs of the request. */
  protected beforeRefusal(): Promise<void> {
    return Promise.resolve();
  }

  /** Aborted by whatever ends the exchange. */
  protected get signal(): AbortSignal {
    return this.stop.signal;
  }

  /** @throws RefusedError; the signal's reason */
  protected async admit(token: string, context: CallContext): Promise<Admitted> {
    this.asked = context;
    const admission = await this.parts.enforcer.admit(token, context);
    this.note.decided(admission, context);
    if (admission.decision === 'deny') throw await this.refused(admission);
    const { call } = admission;
    this.calls.add(call);
    const onAbort = (): void => this.stop.abort(call.signal.reason);
    call.signal.addEventListener('abort', onAbort);
    if (call.signal.aborted) onAbort();
    this.signal.throwIfAborted();
    return admission;
  }

  /** Admits it as something narrower than before, so that whatever is ordered against that cuts it too. */
  protected async admitAs(
    token: string,
    context: CallContext,
    before: Admitted,
  ): Promise<Admitted> {
    const admitted = await this.admit(token, context);
    this.calls.delete(before.call);
    before.call.finish();
    return admitted;
  }

  /** @param bytes what goes on in place of the response's own */
  protected async handOn(
    response: Dispatcher.ResponseData,
    gate: HoldGate,
    bytes: AsyncIterable<Buffer> = bytesOf(response, this.upstream, this.signal),
  ): Promise<void> {
    await gate.pass(this.signal);
    this.note.status = response.statusCode;
    this.agent.begin(response.statusCode, response.headers);
    for await (const chunk of bytes) {
      await this.agent.write(chunk, gate, this.signal);
      this.note.bytesOut += chunk.length;
    }
    await gate.pass(this.signal);
    await this.agent.end();
  }

  private async refused(denied: Denied): Promise<RefusedError> {
    this.parts.metrics.decided(denied);
    await this.beforeRefusal();
    return new RefusedError(denied);
  }

  private async endEarly(reason: unknown): Promise<void> {
    if (reason instanceof AgentGone) {
      this.note.ended({ outcome: 'abandoned' });
      return this.agent.destroy();
    }
    const refused = this.refusalFor(reason);
    const wasCut = this.signal.aborted && this.calls.size > 0;
    this.noteEnd(refused, wasCut);
    if (wasCut) this.parts.metrics.wasCut(refused.problem.code);
    if (!wasCut && this.agent.begun) return this.agent.destroy();
    await this.agent.refuse(refused);
  }

  private noteEnd({ problem: { code, kill_id: killId, status } }: Refusal, wasCut: boolean): void {
    const hasFailed = status === 500 || status === 502;
    const outcome = wasCut ? 'aborted' : hasFailed ? 'failed' : 'refused';
    this.note.ended({ outcome, code, killId, ...(!this.agent.begun && { status }) });
  }

  private challenged(refused: Refusal): Refusal {
    const told = challenge(refused.problem, this.request, this.upstream.name, this.asked);
    return { ...refused, headers: { ...refused.headers, ...told } };
  }

  private refusalFor(reason: unknown): Refusal {
    if (reason instanceof RefusedError) return this.challenged(refusalOf(reason.denied));
    if (reason instanceof SidecarStops) return refusal(STOPPING);
    const { logger } = this.parts;
    if (reason instanceof ProblemError) {
      if (reason.code === 'upstream_unreachable') {
        const cause = reason.cause instanceof Error ? reason.cause.message : undefined;
        logger.warn({ upstream: this.upstream.name, cause }, reason.message);
      }
      return refusal(reason.toProblem());
    }
    logger.error({ upstream: this.upstream.name, error: String(reason) }, 'an exchange failed');
    return refusal(problem('internal', 'The sidecar failed; its log says why'));
  }
}
