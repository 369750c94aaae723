import type { IncomingMessage, ServerResponse } from 'node:http';
import type { RequestId } from '@modelcontextprotocol/sdk/types.js';
import {
  RefusedError,
  type Admission,
  type CallContext,
  type Denied,
  type InFlightCall,
  type Logger,
} from '@sever/enforcement';
import { problem, ProblemError } from '@sever/protocol';
import type { Dispatcher } from 'undici';
import type { Enforcer } from '../enforcer';
import type { Metrics } from '../metrics';
import { NO_TOKEN, refusal, refusalOf, STOPPING, type Refusal } from '../refusal';
import type { Upstream } from '../sidecar-file';
import { AgentResponse, type ResponseLimits } from './agent-response';
import { bearerToken, mediaType, toUpstream } from './headers';
import { HoldGate } from './hold-gate';
import { idIn, readMessage, type Message } from './message';
import { readBody } from './read-body';
import { bytesOf, sendUpstream } from './upstream-request';

export interface ExchangeLimits extends ResponseLimits {
  /** The longest message that an agent may send. */
  readonly bodyBytes: number;
}

export interface ExchangeParts {
  readonly enforcer: Enforcer;
  readonly metrics: Metrics;
  readonly dispatcher: Dispatcher;
  readonly limits: ExchangeLimits;
  readonly logger: Logger;
}

/** Why an exchange ends before its time, other than by a revocation. */
class AgentGone extends Error {}
class SidecarStops extends Error {}

type Admitted = Exclude<Admission, Denied>;

/** How much of a refused request is read, and for how long, only to find the id that the error should carry. */
const PEEK_BYTES = 64 * 1_024;
const PEEK_MS = 1_000;

/**
 * One HTTP exchange of an agent with an MCP server, in flight from the moment its token was accepted.
 *
 * Everything that ends it early aborts one signal. The abort closes the upstream's socket in the same turn, and no byte
 * is sent to the agent after it but the refusal; only then is the call reported as finished.
 */
export class Exchange {
  private readonly stop = new AbortController();
  private readonly calls = new Set<InFlightCall>();
  private readonly agent: AgentResponse;
  private id: RequestId | undefined;

  constructor(
    private readonly upstream: Upstream,
    private readonly request: IncomingMessage,
    response: ServerResponse,
    private readonly parts: ExchangeParts,
  ) {
    this.agent = new AgentResponse(request, response, parts.limits);
    response.once('close', () => this.stop.abort(new AgentGone()));
  }

  /** A stream that waits for whatever the server says next: it never ends by itself. */
  get isListening(): boolean {
    return this.request.method === 'GET';
  }

  /** Never rejects: every failure ends in an answer or a closed socket. */
  async run(): Promise<void> {
    try {
      await this.relay();
    } catch (error) {
      const { signal } = this.stop;
      await this.endEarly(signal.aborted ? signal.reason : error);
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

  private async relay(): Promise<void> {
    this.stop.signal.throwIfAborted();
    const token = bearerToken(this.request);
    if (token === undefined) throw await this.refused(NO_TOKEN);
    const upload = await this.admit(token, { upstream: this.upstream.name });
    this.refuseQuery();
    const body = this.request.method === 'POST' ? await this.body() : undefined;
    const message = body === undefined ? undefined : readMessage(body);
    this.id = message?.id;
    if (message !== undefined) this.refuseOtherHeaders(message);
    const admitted =
      message?.tool === undefined ? upload : await this.admitTool(token, message.tool, upload);
    this.parts.metrics.decided(admitted);
    const gate = new HoldGate(admitted.call);
    const response = await sendUpstream({
      upstream: this.upstream,
      method: this.request.method as 'GET' | 'POST' | 'DELETE',
      headers: toUpstream(this.request, token),
      body,
      gate,
      signal: this.stop.signal,
      dispatcher: this.parts.dispatcher,
    });
    await this.handOn(response, gate);
  }

  private async handOn(response: Dispatcher.ResponseData, gate: HoldGate): Promise<void> {
    const { signal } = this.stop;
    await gate.pass(signal);
    this.agent.begin(response.statusCode, response.headers);
    for await (const chunk of bytesOf(response, this.upstream, signal)) {
      await this.agent.write(chunk, gate, signal);
    }
    await gate.pass(signal);
    this.agent.end();
  }

  /** The token is checked before the body is read, so that a revoked agent's upload is cut like any other call. */
  private async admit(token: string, context: CallContext): Promise<Admitted> {
    const admission = await this.parts.enforcer.admit(token, context);
    if (admission.decision === 'deny') throw await this.refused(admission);
    const { call } = admission;
    this.calls.add(call);
    const onAbort = (): void => this.stop.abort(call.signal.reason);
    call.signal.addEventListener('abort', onAbort);
    if (call.signal.aborted) onAbort();
    this.stop.signal.throwIfAborted();
    return admission;
  }

  /** From here on it is a call of that tool, so that a suspension of the tool cuts it too. */
  private async admitTool(token: string, name: string, upload: Admitted): Promise<Admitted> {
    const upstream = this.upstream.name;
    const admitted = await this.admit(token, { tool: `${upstream}/${name}`, upstream });
    this.calls.delete(upload.call);
    upload.call.finish();
    return admitted;
  }

  private async refused(denied: Denied): Promise<RefusedError> {
    this.parts.metrics.decided(denied);
    if (this.request.method === 'POST' && !this.request.readableEnded) {
      const patience = AbortSignal.any([this.stop.signal, AbortSignal.timeout(PEEK_MS)]);
      const body = await readBody(this.request, PEEK_BYTES, patience).catch(() => undefined);
      this.id = body === undefined ? undefined : idIn(body);
    }
    return new RefusedError(denied);
  }

  private async body(): Promise<Buffer> {
    if (mediaType(this.request.headers['content-type']) !== 'application/json') {
      throw new ProblemError('unsupported_media_type', 'A message is sent as application/json');
    }
    return readBody(this.request, this.parts.limits.bodyBytes, this.stop.signal);
  }

  /** A query could carry the token past the sidecar; what the upstream needs belongs in its url. */
  private refuseQuery(): void {
    if (this.request.url?.includes('?') === true) {
      throw new ProblemError('bad_request', 'A query is not passed on; put it in the url');
    }
  }

  /** The body decides; headers that tell the server something else must not reach it. */
  private refuseOtherHeaders(message: Message): void {
    const { 'mcp-method': method, 'mcp-name': name } = this.request.headers;
    if (method !== undefined && method !== message.method) {
      throw new ProblemError('bad_request', 'Mcp-Method and the body differ');
    }
    if (name !== undefined && message.tool !== undefined && name !== message.tool) {
      throw new ProblemError('bad_request', 'Mcp-Name and the body differ');
    }
  }

  private async endEarly(reason: unknown): Promise<void> {
    if (reason instanceof AgentGone) return this.agent.destroy();
    const refused = this.refusalFor(reason);
    const wasCut = this.stop.signal.aborted && this.calls.size > 0;
    if (wasCut) this.parts.metrics.wasCut(refused.problem.code);
    if (!wasCut && this.agent.begun) return this.agent.destroy();
    await this.agent.refuse(refused, this.id);
  }

  private refusalFor(reason: unknown): Refusal {
    if (reason instanceof RefusedError) return refusalOf(reason.denied);
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
